//! What an index consists of at this moment: a small file, replaced whole by rename.
//!
//! First line: magic, version, BLAKE3 of the rest. Rest: JSON.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::segment::{Hash, Segment};
use crate::{Error, Result};

pub(super) const FILE: &str = "MANIFEST";
const MAGIC: &str = "magnetite-manifest";
const VERSION: &str = "1";
/// No manifest comes near; what claims to be longer is not read.
const LONGEST: u64 = 1 << 24;

/// The list of segments, and what all of them share.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest<A> {
    /// Which index this is: `dense`.
    pub(super) kind: String,
    /// What the index says of itself.
    pub(super) attributes: A,
    /// Oldest first.
    pub(super) segments: Vec<Entry>,
}

/// One segment file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// BLAKE3 of its header and directory, in hex.
    hash: String,
    /// Its length.
    pub(super) bytes: u64,
}

impl Entry {
    pub(super) fn new(segment: &Segment) -> Self {
        let hash = blake3::Hash::from_bytes(*segment.hash()).to_string();
        Self { hash, bytes: segment.bytes() }
    }

    pub(super) fn hash(&self) -> Option<Hash> {
        blake3::Hash::from_hex(&self.hash).ok().map(|hash| *hash.as_bytes())
    }
}

impl<A: Serialize + DeserializeOwned> Manifest<A> {
    pub(super) fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("attributes are plain data");
        format!("{MAGIC} {VERSION} {}\n{json}\n", blake3::hash(format!("{json}\n").as_bytes()))
    }

    /// Reads the manifest of `directory`, which must be of `kind`.
    pub(super) fn read(directory: &Path, kind: &str) -> Result<Self> {
        let path = directory.join(FILE);
        let text = read_text(directory, &path)?;
        Self::parse(&text, kind).map_err(|problem| Error::format(path, problem))
    }

    /// The manifest of `directory` that reads `text`, wherever that is kept.
    pub(super) fn parse_of(directory: &Path, text: &str, kind: &str) -> Result<Self> {
        Self::parse(text, kind).map_err(|problem| Error::format(directory, problem))
    }

    pub(super) fn parse(text: &str, kind: &str) -> Result<Self, String> {
        let damaged = || "truncated or changed; restore or rebuild".to_owned();
        let (head, json) = text.split_once('\n').ok_or_else(damaged)?;
        let [magic, version, hash] = head.split(' ').collect::<Vec<_>>()[..] else {
            return Err("not a magnetite manifest".to_owned());
        };
        if magic != MAGIC {
            return Err("not a magnetite manifest".to_owned());
        }
        if version != VERSION {
            let problem = format!("manifest version {version}; this magnetite reads {VERSION}");
            return Err(format!("{problem}; upgrade magnetite or rebuild"));
        }
        if blake3::hash(json.as_bytes()).to_string() != hash {
            return Err(damaged());
        }
        // The kind first: the attributes of another kind would not parse.
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let got: Kind = serde_json::from_str(json).map_err(|_| damaged())?;
        if got.kind != kind {
            return Err(format!("an index of kind {:?}; wanted {kind:?}", got.kind));
        }
        serde_json::from_str(json).map_err(|error| format!("{error}; restore or rebuild"))
    }
}

fn read_text(directory: &Path, path: &Path) -> Result<String> {
    let missing = |source: std::io::Error| {
        let stray = directory.exists() && matches!(source.raw_os_error(), Some(ENOENT | ENOTDIR));
        if stray {
            let remedy = "give a directory that `save` wrote";
            Error::format(directory, format!("not an index: it holds no {FILE}; {remedy}"))
        } else if directory.exists() {
            Error::io(path, source)
        } else {
            Error::io(directory, source)
        }
    };
    let file = File::open(path).map_err(missing)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|source| Error::io(path, source))?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::format(path, "too long for a manifest; restore or rebuild"));
    }
    String::from_utf8(bytes).map_err(|_| Error::format(path, "not a magnetite manifest"))
}

const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;
