//! One immutable file of named sections. `docs/format.md` draws it.
//!
//! ```text
//! header     64 bytes    magic, version, block size, zeros
//! sections   each starts at a multiple of 64, zeros between
//! directory  count; name, offset, length of each section; then a CRC-32 for each block of each section
//! trailer    56 bytes    offset and length of the directory, BLAKE3 of header and directory, magic
//! ```
//!
//! The BLAKE3 covers the checksums of all blocks, so it names the whole content; the file is called
//! after it. Nothing is believed before it is checked: every offset against the file's length, the
//! directory against its hash, a block against its CRC (all at once, or each at its first touch).
//! Nothing is allocated beyond a small multiple of what the file holds.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Verify;
use super::map::{self, Bytes, Number};
use crate::{Cancel, Error, Result};

const HEADER: usize = 64;
const TRAILER: usize = 56;
const MAGIC: [u8; 8] = *b"MAGNSEG\0";
const VERSION: u32 = 1;
const ALIGN: usize = 64;
/// Bytes under one checksum: a first touch reads this much, and 4 in 65,536 bytes are checksums.
const BLOCK: usize = 1 << 16;

/// The content's name: BLAKE3 of header and directory.
pub(super) type Hash = [u8; 32];

/// Writes `sections` to `out` and returns the content's name and the file's length.
pub(super) fn write(
    out: &mut impl Write,
    sections: &[(&str, &[u8])],
    cancel: &Cancel,
) -> Result<(Hash, u64), WriteError> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(BLOCK as u32).to_le_bytes());
    out.write_all(&header)?;

    let mut directory = (sections.len() as u32).to_le_bytes().to_vec();
    let mut checksums = Vec::new();
    let mut at = HEADER;
    for (name, bytes) in sections {
        let len = u8::try_from(name.len()).expect("section names are short literals");
        directory.push(len);
        directory.extend_from_slice(name.as_bytes());
        directory.extend_from_slice(&(at as u64).to_le_bytes());
        directory.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        for block in bytes.chunks(BLOCK) {
            cancel.check()?;
            checksums.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
            out.write_all(block)?;
        }
        at += bytes.len();
        let gap = at.next_multiple_of(ALIGN) - at;
        out.write_all(&[0; ALIGN][..gap])?;
        at += gap;
    }
    directory.extend_from_slice(&checksums);

    let hash = *blake3::Hasher::new().update(&header).update(&directory).finalize().as_bytes();
    out.write_all(&directory)?;
    out.write_all(&(at as u64).to_le_bytes())?;
    out.write_all(&(directory.len() as u64).to_le_bytes())?;
    out.write_all(&hash)?;
    out.write_all(&MAGIC)?;
    Ok((hash, (at + directory.len() + TRAILER) as u64))
}

/// Why a write stopped; the caller knows the file's name.
#[derive(Debug)]
pub(super) enum WriteError {
    Io(io::Error),
    Stopped(Error),
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> Self {
        Self::Io(source)
    }
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Stopped(error)
    }
}

impl WriteError {
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Io(source) => Error::io(path, source),
            Self::Stopped(error) => error,
        }
    }
}

#[derive(Debug)]
struct Section {
    name: String,
    /// Bytes of the file.
    range: Range<usize>,
    /// Where its checksums begin, counted in blocks.
    first_block: usize,
}

/// An open segment: its structure is checked, its blocks are checked or will be at first touch.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    hash: Hash,
    bytes: Bytes,
    sections: Vec<Section>,
    /// One a block.
    checksums: Vec<u32>,
    /// One bit a block, set once its checksum held; empty if all were checked at open.
    checked: Vec<AtomicU64>,
}

impl Segment {
    /// Maps the file at `path`; `hash` is the content that the manifest names.
    pub(super) fn open(path: &Path, hash: &Hash, verify: Verify, cancel: &Cancel) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let length = file.metadata().map_err(|source| Error::io(path, source))?.len();
        if length < (HEADER + TRAILER) as u64 {
            return Err(Error::format(path, format!("truncated: {length} bytes are no segment")));
        }
        let segment = Self::parse(path, Bytes::map(&file, path)?, Some(hash), verify, cancel)?;
        Ok(segment)
    }

    /// A segment from memory, as if read from a file called `path`.
    pub fn from_bytes(path: &Path, bytes: &[u8], verify: Verify) -> Result<Self> {
        Self::parse(path, Bytes::copy(bytes), None, verify, &Cancel::new())
    }

    fn parse(
        path: &Path,
        bytes: Bytes,
        wanted: Option<&Hash>,
        verify: Verify,
        cancel: &Cancel,
    ) -> Result<Self> {
        let refuse = |problem: &str| Error::format(path, format!("{problem}; restore or rebuild"));
        let data = bytes.as_slice();
        if data.len() < HEADER + TRAILER {
            return Err(refuse("truncated: too short for a segment"));
        }
        let (header, trailer) = (&data[..HEADER], &data[data.len() - TRAILER..]);
        if header[..8] != MAGIC {
            return Err(refuse("not a magnetite segment"));
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            let problem = format!("segment version {version}; this magnetite reads {VERSION}");
            return Err(Error::format(path, format!("{problem}; upgrade magnetite or rebuild")));
        }
        if trailer[48..] != MAGIC || u32_at(header, 12) != BLOCK as u32 {
            return Err(refuse("truncated or changed: header and trailer do not match"));
        }
        let body = (data.len() - TRAILER) as u64;
        let (start, length) = (u64_at(trailer, 0), u64_at(trailer, 8));
        if start < HEADER as u64 || start.checked_add(length) != Some(body) {
            return Err(refuse("truncated or changed: the directory is not where it should be"));
        }
        let directory = &data[start as usize..body as usize];
        let hash = blake3::Hasher::new().update(header).update(directory).finalize();
        if hash.as_bytes() != &trailer[16..48] {
            return Err(refuse("changed: the directory does not match its checksum"));
        }
        if wanted.is_some_and(|wanted| wanted != hash.as_bytes()) {
            return Err(refuse("another segment than the manifest names"));
        }
        let (sections, checksums) = parse_directory(directory, start as usize)
            .ok_or_else(|| refuse("the directory contradicts itself"))?;
        let checked = (0..checksums.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (path, hash) = (path.to_owned(), *hash.as_bytes());
        let mut segment = Self { path, hash, bytes, sections, checksums, checked };
        if verify == Verify::Full {
            let mut end = HEADER;
            for section in &segment.sections {
                cancel.check()?;
                segment.touch(section, 0..section.range.len())?;
                segment.expect_zeros(end..section.range.start)?;
                end = section.range.end;
            }
            segment.expect_zeros(end..start as usize)?;
            segment.checked = Vec::new();
        }
        Ok(segment)
    }

    /// Refuses anything but zeros where no section lies.
    fn expect_zeros(&self, gap: Range<usize>) -> Result<()> {
        if self.bytes.as_slice()[gap].iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        Err(self.refuse("changed: there is something between its sections"))
    }

    /// Checks every block of `section` under `range` that nobody has checked yet.
    #[inline]
    fn touch(&self, section: &Section, range: Range<usize>) -> Result<()> {
        if self.checked.is_empty() || range.is_empty() {
            return Ok(());
        }
        let blocks = range.start / BLOCK..range.end.div_ceil(BLOCK);
        // Relaxed: the bit guards no data, the mapped bytes are the same for every thread.
        let is_checked = |i: usize| {
            let block = section.first_block + i;
            self.checked[block / 64].load(Ordering::Relaxed) & 1 << (block % 64) != 0
        };
        if blocks.clone().all(is_checked) { Ok(()) } else { self.check(section, blocks) }
    }

    /// Checks those of a section's `blocks` that nobody has checked yet.
    #[cold]
    fn check(&self, section: &Section, blocks: Range<usize>) -> Result<()> {
        let data = &self.bytes.as_slice()[section.range.clone()];
        for i in blocks {
            let block = section.first_block + i;
            let (word, bit) = (&self.checked[block / 64], 1 << (block % 64));
            if word.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let bytes = &data[i * BLOCK..((i + 1) * BLOCK).min(data.len())];
            if crc32fast::hash(bytes) != self.checksums[block] {
                let problem = format!("changed: block {i} of section `{}`", section.name);
                return Err(self.refuse(format!("{problem} does not match its checksum")));
            }
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A format error that names this file and the remedy.
    pub(crate) fn refuse(&self, problem: impl std::fmt::Display) -> Error {
        Error::format(&self.path, format!("{problem}; restore or rebuild"))
    }

    /// The content's name.
    pub(super) fn hash(&self) -> &Hash {
        &self.hash
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.as_slice().len() as u64
    }

    /// Whether there is a section `name`.
    pub fn has(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.name == name)
    }

    /// Names and bytes of all sections, their blocks checked.
    pub fn sections(&self) -> impl Iterator<Item = (&str, Result<&[u8]>)> {
        let all = self.sections.iter().enumerate();
        all.map(|(at, section)| (&section.name[..], self.numbers(at, 0..section.range.len())))
    }

    /// The place of section `name` and how many elements it holds.
    pub(super) fn find<T: Number>(&self, name: &str) -> Result<(usize, usize)> {
        let found = self.sections.iter().position(|section| section.name == name);
        let at = found.ok_or_else(|| self.refuse(format!("section `{name}` is missing")))?;
        let bytes = self.sections[at].range.len();
        if !bytes.is_multiple_of(size_of::<T>()) {
            return Err(self.refuse(format!("section `{name}` ends inside a number")));
        }
        Ok((at, bytes / size_of::<T>()))
    }

    /// Elements `range` of the section at `at`, if there are so many, unchecked.
    #[inline]
    pub(super) fn peek<T: Number>(&self, at: usize, range: Range<usize>) -> Option<&[T]> {
        let all = map::as_numbers(&self.bytes.as_slice()[self.sections[at].range.clone()])?;
        all.get(range)
    }

    /// Elements `range` of the section at `at`, their blocks checked.
    #[inline]
    pub(super) fn numbers<T: Number>(&self, at: usize, range: Range<usize>) -> Result<&[T]> {
        let section = &self.sections[at];
        let size = size_of::<T>();
        let count = section.range.len() / size;
        if range.start > range.end || range.end > count {
            let problem = format!("section `{}` holds {count} numbers", section.name);
            return Err(self.refuse(format!("{problem}; asked for {range:?}")));
        }
        let bytes = range.start * size..range.end * size;
        self.touch(section, bytes.clone())?;
        let data = &self.bytes.as_slice()[section.range.clone()][bytes];
        Ok(map::as_numbers(data).expect("sections start at multiples of 64"))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Sections and checksums, or `None` unless the sections lie one after the other up to `end` and
/// there is exactly one checksum for each of their blocks.
fn parse_directory(directory: &[u8], end: usize) -> Option<(Vec<Section>, Vec<u32>)> {
    let mut rest = directory;
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at_checked(n)?;
        rest = left;
        Some(taken)
    };
    let count = u32_at(take(4)?, 0);
    let mut sections: Vec<Section> = Vec::new();
    let (mut at, mut first_block) = (HEADER, 0);
    for _ in 0..count {
        let len = take(1)?[0];
        let name = std::str::from_utf8(take(usize::from(len))?).ok()?.to_owned();
        let offset = usize::try_from(u64_at(take(8)?, 0)).ok()?;
        let length = usize::try_from(u64_at(take(8)?, 0)).ok()?;
        let after = offset.checked_add(length)?;
        let known = sections.iter().any(|section| section.name == name);
        if offset != at || after > end || known {
            return None;
        }
        sections.push(Section { name, range: offset..after, first_block });
        at = after.next_multiple_of(ALIGN);
        first_block += length.div_ceil(BLOCK);
    }
    if at != end || rest.len() != first_block.checked_mul(4)? {
        return None;
    }
    let checksums = rest.chunks_exact(4).map(|bytes| u32_at(bytes, 0)).collect();
    Some((sections, checksums))
}
