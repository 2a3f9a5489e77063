//! From queries to results over all parts: which rows each may find, the best of every part, and of
//! those the best by score and id.

use super::ids::Name;
use super::index::{Index, Live, Place};
use super::select::{Group, Selected};
use super::{Cost, Found, HitIds, Hits, IdKind, MOST_RESULTS, Names, Search};
use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads};

/// A result: a row and its score.
#[derive(Debug, Clone, Copy)]
struct Hit {
    place: Place,
    score: f32,
}

impl Index {
    /// The best rows for each query.
    ///
    /// Refuses queries of another length, what [`Index::build`] refuses in vectors, and filters that
    /// fit neither the index nor the queries.
    pub fn search(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Hits<'_>> {
        let found = self.find_best(queries, search, threads, cancel)?;
        self.name(found, search)
    }

    /// The same by where the rows are.
    pub(super) fn search_places(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<(Place, f32)>>> {
        let found = self.find_best(queries, search, threads, cancel)?;
        let places = |hits: Vec<Hit>| hits.into_iter().map(|hit| (hit.place, hit.score)).collect();
        Ok(found.into_iter().map(|(hits, _)| places(hits)).collect())
    }

    fn find_best(
        &self,
        queries: MatrixRef<'_>,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<(Vec<Hit>, Cost)>> {
        let search = &self.aimed(search)?;
        let queries = self.expect_search(queries, search)?;
        let queries = self.metric().prepare("queries", queries, None, threads, cancel)?;
        let count = queries.view().rows();
        let mut found: Vec<(Vec<Hit>, Cost)> = Vec::new();
        found.resize_with(count, Default::default);
        for (group, members) in search.groups(count) {
            let gathered = (members.len() < count).then(|| queries.view().gather(&members));
            let queries = gathered.as_ref().map_or(queries.view(), Matrix::view);
            for share in search.shares(group, members.len(), self.len()) {
                let members = &members[share.clone()];
                let results = self.search_alike(
                    queries.slice(share),
                    members,
                    group,
                    search,
                    threads,
                    cancel,
                )?;
                for (&i, result) in members.iter().zip(results) {
                    found[i] = result;
                }
            }
        }
        Ok(found)
    }

    /// About how many multiplications a search for `queries` queries takes; none if it is refused.
    pub fn work(&self, queries: usize, search: &Search<'_>) -> usize {
        let Ok(search) = self.aimed(search) else { return 0 };
        let one = |live: &Live| live.part().work(self.dim(), &search);
        self.parts().iter().map(one).sum::<usize>().saturating_mul(queries)
    }

    pub(super) fn expect_search<'a>(
        &self,
        queries: MatrixRef<'a>,
        search: &Search<'_>,
    ) -> Result<MatrixRef<'a>> {
        if !(1..=MOST_RESULTS).contains(&search.k) {
            return Err(Error::range("k", format!("1 to {MOST_RESULTS}"), search.k));
        }
        if search.probes == Some(0) {
            return Err(Error::range("probes", "at least 1", 0));
        }
        if search.min_score.is_nan() {
            return Err(Error::range("min_score", "a number", "NaN"));
        }
        let dim = search.dim.unwrap_or(self.dim());
        if !(1..=self.dim()).contains(&dim) {
            return Err(Error::range("dim", format!("1 to {}", self.dim()), dim));
        }
        search.expect_filters(self, queries.rows())?;
        queries.expect_dim("queries", dim)
    }

    /// Results of `queries`, which are prepared, of one group, and are `members` of all.
    fn search_alike(
        &self,
        queries: MatrixRef<'_>,
        members: &[usize],
        group: Group,
        search: &Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<(Vec<Hit>, Cost)>> {
        let k = search.k + group.spare;
        let mut results: Vec<(Vec<Hit>, Cost)> = vec![Default::default(); queries.rows()];
        for (at, live) in self.parts().iter().enumerate() {
            let selected = Selected::new(self, at, group, members, search)?;
            let part = live.part();
            let found = match search.dim {
                Some(_) => {
                    let k = k.min(part.rows());
                    part.search_prefix(queries, k, selected.filter(), threads, cancel)?
                }
                None => {
                    let filter = selected.filter();
                    part.search(queries, k, filter, search, threads, cancel)?
                }
            };
            for ((hits, cost), Found { best, cost: more }) in results.iter_mut().zip(found) {
                let place = |row: u64| Place { part: at, row: row as usize };
                hits.extend(best.iter().map(|b| Hit { place: place(b.id), score: b.score }));
                cost.codes += more.codes;
                cost.rows += more.rows;
            }
        }
        for ((hits, _), &i) in results.iter_mut().zip(members) {
            if self.parts().len() > 1 {
                self.rank(hits)?;
            }
            hits.truncate(k);
            if let Some(dropped) = search.dropped(i) {
                self.drop_named(hits, dropped)?;
            }
            hits.truncate(search.k);
            hits.retain(|hit| hit.score >= search.min_score);
        }
        Ok(results)
    }

    /// Sorts by score, then by id.
    fn rank(&self, hits: &mut Vec<Hit>) -> Result<()> {
        let named = hits.iter().map(|&hit| Ok((self.name_of(hit.place)?, hit)));
        let mut named = named.collect::<Result<Vec<_>>>()?;
        // -0.0 and 0.0 are one score, as in `topk`.
        let score = |hit: &Hit| hit.score + 0.0;
        named.sort_by(|(a, x), (b, y)| score(y).total_cmp(&score(x)).then_with(|| a.cmp(b)));
        hits.clear();
        hits.extend(named.into_iter().map(|(_, hit)| hit));
        Ok(())
    }

    fn drop_named(&self, hits: &mut Vec<Hit>, dropped: Names<'_>) -> Result<()> {
        let mut kept = Vec::with_capacity(hits.len());
        for &hit in &*hits {
            let name = self.name_of(hit.place)?;
            if dropped.iter().all(|dropped| dropped != name) {
                kept.push(hit);
            }
        }
        *hits = kept;
        Ok(())
    }

    /// Rows found, called by their ids.
    fn name(&self, found: Vec<(Vec<Hit>, Cost)>, search: &Search<'_>) -> Result<Hits<'_>> {
        let k = search.k;
        let places = found.len() * k;
        let mut scores = vec![f32::NEG_INFINITY; places];
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        match self.id_kind() {
            IdKind::Text => texts.resize(places, None),
            _ => numbers.resize(places, -1),
        }
        for (query, (hits, _)) in found.iter().enumerate() {
            for (place, hit) in (query * k..).zip(hits) {
                scores[place] = hit.score;
                match self.name_of(hit.place)? {
                    Name::Text(text) => texts[place] = Some(text),
                    Name::Number(number) => numbers[place] = number,
                }
            }
        }
        let ids = match self.id_kind() {
            IdKind::Text => HitIds::Text(texts),
            _ => HitIds::Numbers(numbers),
        };
        let counts = found.iter().map(|(hits, _)| hits.len() as i64).collect();
        let costs = found.iter().map(|(_, cost)| *cost).collect();
        Ok(Hits { k, ids, scores, counts, costs })
    }
}
