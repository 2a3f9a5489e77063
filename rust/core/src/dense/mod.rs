//! Dense vectors: the k most similar rows of each query.
//!
//! `flat` scores every row. `ivf` scores codes of the rows in the nearest lists and then the best of
//! them exactly. Either way the score that is returned, and the order it decides, come from the
//! canonical kernel on the stored numbers: one query alone and among a thousand return the same bits.
//!
//! ```text
//! part     rows built together, by `flat` or `ivf`: immutable
//! index    parts, and which of their rows are gone: an immutable snapshot
//! search   from queries to the best rows of all parts
//! write    snapshot -> snapshot: add, upsert, delete, compact
//! curve    what recall costs in a snapshot: kept, looked up
//! tune     that, measured
//! files    snapshot <-> directory; the writer, whose every commit happens or does not
//! ```

mod check;
mod curve;
mod explain;
mod files;
mod filter;
mod flat;
mod ids;
mod index;
mod ivf;
mod part;
mod positions;
mod prefix;
mod rows;
mod score;
mod search;
mod select;
mod tune;
mod write;

use serde::{Deserialize, Serialize};

pub use check::Verified;
pub use curve::{Curve, Effort, Point};
pub use explain::{Explanation, Looked};
pub use files::Writer;
pub use ids::{IdKind, Names, NewIds};
pub use index::Index;
pub use ivf::Lists;
pub use rows::Storage;
pub use score::Metric;
pub use select::Pick;

use crate::topk::Scored;

/// What the manifest calls this index.
const KIND: &str = "dense";
/// More results than this for one query is a mistake, not a search.
const MOST_RESULTS: usize = 1 << 20;
/// Rows are numbered by 32 bits inside an index.
const MOST_ROWS: usize = u32::MAX as usize;
/// From here on lists are worth their build: a flat search takes milliseconds.
const LARGE: usize = 1 << 15;
/// Up to here the bounds of rounding stay below 1 %.
const MOST_COLUMNS: usize = 1 << 16;

/// How to build an index.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// What the scores mean.
    pub metric: Metric,
    /// The fingerprint of the encoder that made the vectors.
    pub encoder: Option<String>,
    /// Which rows a search looks at.
    pub kind: Kind,
    /// How the rows are kept; scores are exact for what is kept.
    pub storage: Storage,
    /// The same seed gives the same bytes.
    pub seed: u64,
}

/// Which rows a search looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// All of them in a small index, those of the nearest lists in a large one.
    #[default]
    Auto,
    /// All of them: exact.
    Flat,
    /// Those of the nearest lists.
    Ivf(Lists),
}

/// How to search.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Results wanted for each query.
    pub k: usize,
    /// Lists to look into; the index's own choice if `None`. A flat index has none. Under a filter a
    /// search looks as deep below its k-th best row as it would without.
    pub probes: Option<usize>,
    /// Rows to score exactly, at least `k`; the index's own choice if `None`. A flat index scores all.
    pub rescore: Option<usize>,
    /// Ends a search before `probes` lists once what the next list may reach lies so far below the
    /// code of the k-th best row so far, in lengths of the query; never if `None`, nor under l2.
    /// Rows whose codes lie far below that one are then not scored either, however many `rescore`
    /// allows. Smaller is faster and finds less.
    pub slack: Option<f32>,
    /// Decides probes, rescore and slack: part of the true results to be found on average, by the
    /// curve of [`Index::measure`].
    pub target_recall: Option<f64>,
    /// Rows that may be found: all if empty, one pick for all queries, or one for each.
    pub only: &'a [Pick<'a>],
    /// Rows that may not, in the same way.
    pub except: &'a [Pick<'a>],
    /// Results with a lower score are left out.
    pub min_score: f32,
    /// Compare the first so many numbers alone, of every row: for vectors trained so that these make
    /// a vector of their own. The queries have so many; under cosine their length and that of what is
    /// left of the rows are made 1 again. Neither codes nor lists take part.
    pub dim: Option<usize>,
}

impl Default for Search<'_> {
    fn default() -> Self {
        let (only, except) = (&[][..], &[][..]);
        let min_score = f32::NEG_INFINITY;
        Self {
            k: 10,
            probes: None,
            rescore: None,
            slack: None,
            target_recall: None,
            only,
            except,
            min_score,
            dim: None,
        }
    }
}

/// Results of a search, query after query, `k` places each.
#[derive(Debug, Clone, PartialEq)]
pub struct Hits<'a> {
    /// Results asked for, for each query.
    pub k: usize,
    /// Best first; `-1` or `None` where there is no result.
    pub ids: HitIds<'a>,
    /// Best first; −∞ where there is no result.
    pub scores: Vec<f32>,
    /// Results of each query.
    pub counts: Vec<i64>,
    /// What each query cost.
    pub costs: Vec<Cost>,
}

/// Ids of results.
#[derive(Debug, Clone, PartialEq)]
pub enum HitIds<'a> {
    /// Of an index whose rows are called by numbers.
    Numbers(Vec<i64>),
    /// Of an index whose rows are called by text.
    Text(Vec<Option<&'a str>>),
}

/// What a query cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Codes compared with the query.
    pub codes: u64,
    /// Rows scored exactly.
    pub rows: u64,
}

/// The best rows of one query, and what finding them cost.
#[derive(Debug)]
struct Found {
    best: Vec<Scored>,
    cost: Cost,
}

/// What all parts of an index share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attributes {
    metric: Metric,
    dim: usize,
    /// Numbers or text; a part may leave numbers out that are its row numbers.
    ids: IdKind,
    storage: Storage,
    encoder: Option<String>,
}
