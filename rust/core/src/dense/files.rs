//! An index in a directory.
//!
//! The manifest names the segments in order: a part, and after it, if some of its rows are dead, a
//! segment with the section `gone`, which says which: a roaring bitmap of row numbers.

use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::filter::{Allowed, Bits};
use super::index::{Header, Index, Live};
use super::part::Part;
use super::{KIND, LARGE};
use crate::store::{self, Column, Segment, Verify};
use crate::{Cancel, Error, Result};

const GONE: &str = "gone";

impl Index {
    /// Makes `directory` hold this index, in one step that happens or does not.
    pub fn save(&self, directory: &Path, cancel: &Cancel) -> Result<()> {
        let mut writer = store::Writer::open::<Header>(directory, KIND)?;
        commit(&mut writer, self, cancel).map(drop)
    }

    /// The index that lies in `directory`, mapped rather than read: a snapshot, which later commits do
    /// not change.
    pub fn open(directory: &Path, verify: Verify, cancel: &Cancel) -> Result<Self> {
        assemble(store::open(directory, KIND, &[], verify, cancel)?)
    }

    /// The index that lies in `directory` now; what this one has of it is not checked again.
    pub fn reopen(&self, directory: &Path, verify: Verify, cancel: &Cancel) -> Result<Self> {
        let opened = store::open(directory, KIND, &self.files(), verify, cancel)?;
        assemble(opened)
    }

    /// The index that `manifest` describes, which the caller keeps, of segments in `directory`; what
    /// `known` has of it is not checked again.
    pub fn open_as(
        directory: &Path,
        manifest: &str,
        known: Option<&Self>,
        verify: Verify,
        cancel: &Cancel,
    ) -> Result<Self> {
        let known = known.map(Self::files).unwrap_or_default();
        let opened = store::open_as(directory, KIND, manifest, &known, verify, cancel)?;
        assemble(opened)
    }

    fn files(&self) -> Vec<Arc<Segment>> {
        let parts = self.parts().iter();
        let files = parts.flat_map(|live| [live.part().segment(), live.gone_segment()]);
        files.flatten().cloned().collect()
    }
}

/// The one writer of an index in a directory.
#[derive(Debug)]
pub struct Writer {
    store: store::Writer,
    index: Index,
}

impl Writer {
    /// Takes the lock of the index in `directory`; refuses if another writer holds it.
    pub fn open(directory: &Path, verify: Verify, cancel: &Cancel) -> Result<Self> {
        // Nothing is made where there is no index.
        drop(Index::open(directory, Verify::Lazy, cancel)?);
        let store = store::Writer::open::<Header>(directory, KIND)?;
        let index = Index::open(directory, verify, cancel)?;
        store.sweep();
        Ok(Self { store, index })
    }

    /// Makes `directory` an index of its own: `index`, and then whatever is committed.
    pub fn create(directory: &Path, index: &Index, cancel: &Cancel) -> Result<Self> {
        let mut store = store::Writer::open::<Header>(directory, KIND)?;
        let index = commit(&mut store, index, cancel)?;
        Ok(Self { store, index })
    }

    /// Makes `directory` an index of its own once something is committed; `index` is what it begins
    /// with. Refuses a directory that holds an index.
    pub fn begin(directory: &Path, index: &Index) -> Result<Self> {
        let store = store::Writer::open::<Header>(directory, KIND)?;
        if store.holds_index() {
            let reason = "holds an index already; open it with writable=True, or build elsewhere";
            let source = std::io::Error::new(std::io::ErrorKind::AlreadyExists, reason);
            return Err(Error::io(directory, source));
        }
        store.sweep();
        Ok(Self { store, index: index.clone() })
    }

    /// Removes what was put down and not committed.
    pub fn sweep(&self) {
        self.store.sweep();
    }

    /// What the directory holds.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Makes the directory hold `next`, in one step that happens or does not. What was built in memory
    /// is mapped from then on.
    pub fn commit(&mut self, next: &Index, cancel: &Cancel) -> Result<()> {
        self.index = commit(&mut self.store, next, cancel)?;
        Ok(())
    }

    /// Takes the lock of a directory whose manifest the caller keeps; there it is `manifest`.
    pub fn open_as(
        directory: &Path,
        manifest: &str,
        known: Option<&Index>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let store = store::Writer::open_as::<Header>(directory, KIND, manifest)?;
        let index = Index::open_as(directory, manifest, known, Verify::Lazy, cancel)?;
        store.sweep();
        Ok(Self { store, index })
    }

    /// Writes `next` down beside what the directory holds; returns its manifest, for a caller who keeps
    /// it, and tells [`Writer::settle`] once it is kept for good.
    pub fn prepare(&mut self, next: &Index, cancel: &Cancel) -> Result<String> {
        let prepared = written(&self.store, next, cancel).and_then(|(index, segments)| {
            let manifest = self.store.prepare(index.header().clone(), &segments, cancel)?;
            Ok((index, manifest))
        });
        if prepared.is_err() {
            self.store.sweep();
        }
        let (index, manifest) = prepared?;
        self.index = index;
        Ok(manifest)
    }

    /// Removes what `manifest`, which the caller keeps from now on, does not name.
    pub fn settle(&mut self, manifest: &str) -> Result<()> {
        self.store.settle::<Header>(manifest)
    }

    /// `next` with its large parts on the disk and mapped, but not committed: what outgrows memory is
    /// put down as it is built.
    pub fn put_down(&self, next: &Index, cancel: &Cancel) -> Result<Index> {
        let put = |live: &Live| match live.part().rows() {
            LARGE.. => Ok(row_segment(&self.store, next, live, cancel)?.0),
            _ => Ok(live.clone()),
        };
        let parts = next.parts().iter().map(put).collect::<Result<_>>()?;
        Ok(Index::new(next.header().clone(), parts))
    }
}

/// Makes the directory of `store` hold `index`; returns it as it lies there.
fn commit(store: &mut store::Writer, index: &Index, cancel: &Cancel) -> Result<Index> {
    let committed = written(store, index, cancel).and_then(|(index, segments)| {
        store.commit(index.header().clone(), &segments, cancel)?;
        Ok(index)
    });
    if committed.is_err() {
        store.sweep();
    }
    committed
}

/// `index` with every part in a segment of the directory of `store`, and those segments.
fn written(
    store: &store::Writer,
    index: &Index,
    cancel: &Cancel,
) -> Result<(Index, Vec<Arc<Segment>>)> {
    let (mut parts, mut segments) = (Vec::new(), Vec::new());
    for live in index.parts() {
        let (mut out, segment) = row_segment(store, index, live, cancel)?;
        segments.push(segment);
        if let Some(allowed) = live.allowed() {
            let segment = match live.gone_segment().filter(|segment| lies_in(store, segment)) {
                Some(segment) => Arc::clone(segment),
                None => store.write(&vec![(GONE, &to_bytes(live)[..])], cancel)?,
            };
            out = out.with(allowed.clone(), Some(Arc::clone(&segment)));
            segments.push(segment);
        }
        parts.push(out);
    }
    Ok((Index::new(index.header().clone(), parts), segments))
}

/// `live` of `index` with its rows in a segment of the directory of `store`, and that segment.
fn row_segment(
    store: &store::Writer,
    index: &Index,
    live: &Live,
    cancel: &Cancel,
) -> Result<(Live, Arc<Segment>)> {
    if let Some(segment) = live.part().segment().filter(|segment| lies_in(store, segment)) {
        return Ok((live.clone(), Arc::clone(segment)));
    }
    let write = |sections: &store::Sections<'_>| store.write(sections, cancel);
    let segment = live.part().sections(&index.header().attributes, write)?;
    let out = Live::new(Part::open(&segment)?.0);
    let out = match live.allowed() {
        Some(allowed) => out.with(allowed.clone(), None),
        None => out,
    };
    Ok((out, segment))
}

fn lies_in(store: &store::Writer, segment: &Segment) -> bool {
    segment.path().parent() == Some(store.directory())
}

fn assemble((header, segments): (Header, Vec<Arc<Segment>>)) -> Result<Index> {
    let mut parts: Vec<Live> = Vec::new();
    for segment in &segments {
        if segment.has(GONE) {
            let live = parts.pop().filter(|live| live.allowed().is_none());
            let live = live.ok_or_else(|| segment.refuse("it follows no segment of rows"))?;
            let allowed = from_bytes(segment, live.part().rows())?;
            parts.push(live.with(allowed, Some(Arc::clone(segment))));
            continue;
        }
        let (part, attributes) = Part::open(segment)?;
        if attributes != header.attributes {
            return Err(segment.refuse("the manifest describes another index"));
        }
        parts.push(Live::new(part));
    }
    Ok(Index::new(header, parts))
}

/// The dead rows of `live`.
fn to_bytes(live: &Live) -> Vec<u8> {
    let dead: RoaringBitmap = live.dead().map(|row| row as u32).collect();
    let mut bytes = Vec::with_capacity(dead.serialized_size());
    dead.serialize_into(&mut bytes).expect("memory takes every write");
    bytes
}

/// The live rows of a part of `rows` rows, of which `segment` says which are dead.
fn from_bytes(segment: &Arc<Segment>, rows: usize) -> Result<Allowed> {
    let bytes = Column::<u8>::open_any(segment, GONE)?;
    let mut rest = bytes.all()?;
    // Ten bytes may stand for 65,536 rows; more than the part has are not read.
    if containers(rest).is_none_or(|count| count > rows.div_ceil(1 << 16)) {
        return Err(segment.refuse("it names rows that are not there"));
    }
    let dead = RoaringBitmap::deserialize_from(&mut rest)
        .map_err(|error| segment.refuse(format!("no bitmap: {error}")))?;
    if !rest.is_empty() || dead.max().is_some_and(|row| row as usize >= rows) {
        return Err(segment.refuse("it names rows that are not there"));
    }
    let (mut bits, mut gone) = (Bits::all(rows), Bits::none(rows));
    dead.iter().for_each(|row| gone.insert(row as usize));
    bits.subtract(&gone);
    Ok(Allowed::new(rows, bits))
}

/// How many runs of 65,536 rows a roaring bitmap says something of: its format gives the number with
/// the cookie that tells of run containers, or after the other one.
fn containers(bitmap: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u32::from_le_bytes(bitmap.get(at..at + 4)?.try_into().ok()?));
    match word(0)? {
        cookie if cookie & 0xFFFF == 12_347 => Some((cookie >> 16) as usize + 1),
        12_346 => Some(word(4)? as usize),
        _ => None,
    }
}
