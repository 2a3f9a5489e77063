//! A writer's life: random commits to one directory, the same for the same seed.

use std::path::{Path, PathBuf};

use magnetite_core::dense::{
    Build, HitIds, Index, Kind, Lists, Metric, Names, NewIds, Search, Writer,
};
use magnetite_core::store::Verify;
use magnetite_core::{Cancel, Matrix, Result, Threads, rng::Rng};

use crate::dense::gaussian;

/// Commits of one history.
pub(crate) const LENGTH: usize = 12;
const DIM: usize = 5;

/// What a caller can see of an index: ids, and the bits of vectors and of scores.
pub(crate) type Content = (Vec<i64>, Vec<u32>);

/// What a directory holds: its manifest, which names every byte by a hash, and the content; `None`
/// before the first commit.
pub(crate) type State = Option<(Vec<u8>, Content)>;

/// Reads a directory, every checksum compared.
pub(crate) fn state(directory: &Path) -> Result<State> {
    match std::fs::read(directory.join("MANIFEST")) {
        Err(_) => Ok(None),
        Ok(manifest) => {
            let index = Index::open(directory, Verify::Full, &Cancel::new())?;
            Ok(Some((manifest, content(&index)?)))
        }
    }
}

/// Whether everything is to be tested at its full size, which `docs/trust.md` states.
pub(crate) fn full() -> bool {
    std::env::var_os("MAGNETITE_TEST_FULL").is_some()
}

pub(crate) struct History {
    path: PathBuf,
    rng: Rng,
    writer: Option<Writer>,
}

impl History {
    pub(crate) fn new(path: &Path, seed: u64) -> Self {
        Self { path: path.to_owned(), rng: Rng::new(seed, 7), writer: None }
    }

    /// One commit; one that fails is tried again by the next call.
    pub(crate) fn step(&mut self) -> Result<()> {
        let mut rng = self.rng.clone();
        self.commit(&mut rng)?;
        self.rng = rng;
        Ok(())
    }

    fn commit(&mut self, rng: &mut Rng) -> Result<()> {
        let cancel = &Cancel::new();
        if rng.below(4) == 0 {
            self.writer = None;
        }
        if self.writer.is_none() && self.path.join("MANIFEST").exists() {
            self.writer = Some(Writer::open(&self.path, Verify::Full, cancel)?);
        }
        let Some(writer) = &mut self.writer else {
            let index = fresh(rng);
            self.writer = Some(Writer::create(&self.path, &index, cancel)?);
            return Ok(());
        };
        let index = writer.index();
        let ids = ids(index)?;
        let some = |rng: &mut Rng| -> Vec<i64> {
            ids.iter().copied().filter(|_| rng.below(3) == 0).collect()
        };
        let next = match rng.below(8) {
            0..=2 => {
                let rows = rows(rng);
                index.add(rows.view(), NewIds::Rows, Threads::ONE, cancel)?
            }
            3 => {
                let some = some(rng);
                let rows = gaussian(some.len(), DIM, rng.bits());
                index.upsert(rows.view(), Names::Numbers(&some), Threads::ONE, cancel)?
            }
            4..=5 => index.delete(Names::Numbers(&some(rng)))?,
            6 => index.compact(Threads::ONE, cancel)?,
            _ => {
                self.writer = None;
                return fresh(rng).save(&self.path, cancel);
            }
        };
        writer.commit(&next, cancel)
    }
}

fn rows(rng: &mut Rng) -> Matrix {
    gaussian(1 + rng.below(12), DIM, rng.bits())
}

fn fresh(rng: &mut Rng) -> Index {
    let lists = Kind::Ivf(Lists { lists: Some(3), parts: Some(2) });
    let kind = [Kind::Flat, lists][rng.below(2)];
    let metric = [Metric::Dot, Metric::Cosine, Metric::L2][rng.below(3)];
    let rows = gaussian(16 + rng.below(12), DIM, rng.bits());
    let build = Build { kind, metric, ..Build::default() };
    Index::build(rows.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap()
}

fn ids(index: &Index) -> Result<Vec<i64>> {
    match index.ids()? {
        HitIds::Numbers(ids) => Ok(ids),
        HitIds::Text(_) => panic!("histories use numbers"),
    }
}

/// Reads every id and every vector, and searches every list.
fn content(index: &Index) -> Result<Content> {
    let ids = ids(index)?;
    let vectors = index.get(Names::Numbers(&ids))?;
    let queries = gaussian(2, index.dim(), 2);
    let k = index.len().max(1);
    let search = Search { k, probes: Some(usize::MAX), ..Search::default() };
    let hits = index.search(queries.view(), &search, Threads::ONE, &Cancel::new())?;
    assert!(hits.counts.iter().all(|&count| count as usize == index.len()));
    let bits = vectors.view().data().iter().chain(&hits.scores).map(|x| x.to_bits());
    Ok((ids, bits.collect()))
}
