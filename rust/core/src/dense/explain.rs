//! What a search did: which lists it looked into, and what that cost.

use super::Search;
use super::index::Index;
use super::select::Selected;
use crate::{Cancel, Error, MatrixRef, Result, Threads};

/// What one search did.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// How far it was to go, as the caller or a target of recall said.
    pub probes: Option<usize>,
    /// Likewise.
    pub rescore: Option<usize>,
    /// Likewise.
    pub slack: Option<f32>,
    /// In each part, oldest first.
    pub parts: Vec<Looked>,
}

/// What one search did in one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Rows of the part, deleted ones included.
    pub rows: usize,
    /// Lists that they are in; `None` if there are none.
    pub lists: Option<usize>,
    /// Lists that were looked into, in that order. None if all rows were scored that may be found.
    pub probed: Vec<u32>,
    /// Codes compared with the query.
    pub codes: u64,
    /// Codes of rows that may not be found, because of a filter or because they are deleted.
    pub filtered: u64,
    /// Rows scored exactly.
    pub scored: u64,
}

impl Index {
    /// What [`Index::search`] does for one query.
    pub fn explain(
        &self,
        query: MatrixRef<'_>,
        search: &Search<'_>,
        cancel: &Cancel,
    ) -> Result<Explanation> {
        let search = &self.aimed(search)?;
        let query = self.expect_search(query, search)?;
        let (1, None) = (query.rows(), search.dim) else {
            return Err(Error::range("query", "one vector of all columns", query.rows()));
        };
        let query = self.metric().prepare("query", query, None, Threads::ONE, cancel)?;
        let query = query.view().row(0);
        let mut parts = Vec::new();
        for (group, members) in search.groups(1) {
            for (at, live) in self.parts().iter().enumerate() {
                let selected = Selected::new(self, at, group, &members, search)?;
                let (k, allowed) = (search.k + group.spare, selected.filter().of(0));
                parts.push(live.part().explain(query, k, allowed, search, cancel)?);
            }
        }
        Ok(Explanation {
            probes: search.probes,
            rescore: search.rescore,
            slack: search.slack,
            parts,
        })
    }
}
