//! Rounds: which rows to score next, told what they scored.
//!
//! ```text
//! S ← the first items
//! repeat:  a ← scores of S          by the caller, for all queries of a batch together
//!          u ← solve(V_S, a)        or u₀ + solve(V_S, a − V_S·u₀)
//!          u ← (1 − λ)·u + λ·u₀     if there is a u₀
//!          S ← S ∪ the best by V·u that are not in S
//! return the best of S by a
//! ```
//!
//! A query is searched as if it were alone: its items depend on no other query of the batch. Orders are
//! total, by score, then by id; so are draws, which are functions of seed, round and position.

use std::collections::BTreeSet;

use super::factors::{self, Wish};
use super::solve::{Ridge, Solver, dot};
use crate::dense::{self, Index};
use crate::rng::Rng;
use crate::topk::Scored;
use crate::{Cancel, Error, Result, Threads};

/// Draws are among so many of the best rows; the share of others is small where they are many.
const POOL: usize = 1 << 14;
/// Streams of randomness: those of later rounds go on from theirs.
const FIRST_ITEMS: u64 = 0;
const LATER_ITEMS: u64 = 1;

/// One round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// Items to score.
    pub items: usize,
    /// The best items if `None`; else a draw without replacement from softmax(V·u / temperature).
    /// Of no effect on first items.
    pub temperature: Option<f64>,
}

/// How to search.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Together the budget. What a round cannot spend, the next one does, or one more after the last.
    pub rounds: Vec<Round>,
    /// How u is regressed.
    pub ridge: Ridge,
    /// The weight λ of the u₀ that [`Start`] gives, from 0 to 1.
    pub weight: f64,
    /// Whether the ridge draws u towards u₀ rather than 0: V·u₀ is then regressed upon, and what it
    /// says of items unlike the scored ones stands.
    pub toward: bool,
    /// The same seed gives the same items.
    pub seed: u64,
}

/// What is known of the queries before anything is scored.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// First items of each query by position, best first; empty, or one list a query.
    pub items: Vec<Vec<usize>>,
    /// u₀ of each query, if there is one. Where there are no first items, the best by V·u₀ are.
    pub vectors: Vec<Vec<f64>>,
}

/// The search of a batch of queries, between two rounds.
#[derive(Debug)]
pub struct Search {
    index: Index,
    plan: Plan,
    round: usize,
    queries: Vec<Query>,
}

#[derive(Debug)]
struct Query {
    solver: Solver,
    /// How much of `scored` the solver knows.
    learned: usize,
    /// u₀, and whether the regression is of what it leaves unsaid.
    known: Option<Vec<f64>>,
    toward: bool,
    /// Positions and scores, as they came.
    scored: Vec<(usize, f64)>,
    /// Where it begins; none if u₀ chooses.
    first: Vec<usize>,
    /// What waits to be scored.
    asked: Vec<usize>,
    /// What earlier rounds left of the budget.
    left: usize,
}

/// What was found for one query, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Best {
    /// Positions.
    pub items: Vec<usize>,
    /// What the scorer said.
    pub scores: Vec<f64>,
    /// What V·u says of them.
    pub estimates: Vec<f64>,
}

impl Search {
    /// A search of `index` for `count` queries, of which each may find what `filters` says.
    ///
    /// Refuses a plan without calls, filters and starts that do not fit. A query without a start, or
    /// none of whose first items may be found, begins with random ones: the same for all that may find
    /// the same.
    pub fn new(
        index: &Index,
        count: usize,
        start: &Start,
        plan: Plan,
        filters: &dense::Search<'_>,
    ) -> Result<Self> {
        plan.expect()?;
        filters.expect_filters(index, count)?;
        start.expect(index, count)?;
        let one = |i| {
            let first = first_items(index, i, start, &plan, filters)?;
            let known = start.vectors.get(i).cloned();
            let solver = Solver::new(index.dim(), plan.ridge);
            let (scored, asked) = (Vec::new(), Vec::new());
            let toward = plan.toward;
            Ok(Query { solver, learned: 0, known, toward, scored, first, asked, left: 0 })
        };
        let queries = (0..count).map(one).collect::<Result<_>>()?;
        Ok(Self { index: index.clone(), plan, round: 0, queries })
    }

    /// The rows that each query wants scored next, by position; `None` once the rounds are over.
    ///
    /// `filters` are those that the search began with; the rest of it says how the index searches.
    /// Panics if the scores of the last round are due.
    pub fn ask(
        &mut self,
        filters: &dense::Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Option<Vec<&[usize]>>> {
        assert!(self.queries.iter().all(|query| query.asked.is_empty()), "scores are due");
        while let Some(round) = self.next_round() {
            let vectors = self.vectors(threads, cancel)?;
            let wishes = self.queries.iter().zip(&vectors);
            let wishes: Vec<_> = wishes.map(|(query, u)| query.wish(u, round)).collect();
            let best = factors::best(&self.index, &wishes, filters, threads, cancel)?;
            for (query, best) in self.queries.iter_mut().zip(best) {
                let mut rng = Rng::new(self.plan.seed, LATER_ITEMS + self.round as u64);
                query.choose(best, round, &mut rng);
            }
            self.round += 1;
            if self.queries.iter().any(|query| !query.asked.is_empty()) {
                return Ok(Some(self.queries.iter().map(|query| &query.asked[..]).collect()));
            }
            if self.round > self.plan.rounds.len() {
                break;
            }
        }
        Ok(None)
    }

    /// The next of the rounds; after them one for what they left of the budget, while that finds more.
    fn next_round(&self) -> Option<Round> {
        let left = self.queries.iter().any(|query| query.left > 0);
        let last = left.then_some(Round { items: 0, temperature: None });
        self.plan.rounds.get(self.round).copied().or(last)
    }

    /// Takes the scores of what was asked for, query after query; refuses any that are not finite,
    /// and then still waits for them.
    pub fn tell(&mut self, scores: &[f64]) -> Result<()> {
        let want = self.queries.iter().map(|query| query.asked.len()).sum();
        if scores.len() != want {
            return Err(Error::Length { what: "scores", want, got: scores.len() });
        }
        if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::NotFinite { what: "scores", row });
        }
        let mut rest = scores.iter().copied();
        for query in &mut self.queries {
            query.scored.extend(query.asked.drain(..).zip(&mut rest));
        }
        Ok(())
    }

    /// The `k` best of what was scored for each query, so far.
    pub fn best(&mut self, k: usize, threads: Threads, cancel: &Cancel) -> Result<Vec<Best>> {
        let vectors = self.vectors(threads, cancel)?;
        let found = threads.blocks(vectors.len(), 1, cancel, |one| {
            self.queries[one.start].best(&self.index, &vectors[one.start], k)
        })?;
        Ok(found)
    }

    /// The `count` rows that V·u likes best of those that were not scored, with what it says of them.
    pub fn rest(
        &mut self,
        count: usize,
        filters: &dense::Search<'_>,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Scored>>> {
        let vectors = self.vectors(threads, cancel)?;
        let wishes = self.queries.iter().zip(&vectors);
        let wishes = wishes.map(|(query, vector)| {
            let count = if count == 0 { 0 } else { count + query.scored.len() };
            Wish { vector, count }
        });
        let wishes: Vec<_> = wishes.collect();
        let best = factors::best(&self.index, &wishes, filters, threads, cancel)?;
        let rest = self.queries.iter().zip(best).map(|(query, best)| {
            let mut rest = query.unscored(best);
            rest.truncate(count);
            rest
        });
        Ok(rest.collect())
    }

    /// u of each query, of everything it was told.
    pub fn vectors(&mut self, threads: Threads, cancel: &Cancel) -> Result<Vec<Vec<f64>>> {
        let (index, weight) = (&self.index, self.plan.weight);
        threads.chunks_mut(&mut self.queries, 1, 1, cancel, |_, queries| {
            queries.iter_mut().try_for_each(|query| query.learn(index))
        })?;
        Ok(self.queries.iter().map(|query| query.vector(weight)).collect())
    }
}

impl Query {
    /// Brings the regression up to what was scored.
    fn learn(&mut self, index: &Index) -> Result<()> {
        let new = &self.scored[self.learned..];
        if new.is_empty() {
            return Ok(());
        }
        let rows = factors::rows(index, new.iter().map(|&(item, _)| item))?;
        let mut scores: Vec<f64> = new.iter().map(|&(_, score)| score).collect();
        if let Some(known) = self.known.as_ref().filter(|_| self.toward) {
            for (score, row) in scores.iter_mut().zip(rows.chunks_exact(known.len())) {
                *score -= dot(row, known);
            }
        }
        self.solver.append(&rows, &scores);
        self.learned = self.scored.len();
        Ok(())
    }

    /// (1 − λ)·u + λ·u₀; u₀ alone before anything is scored.
    fn vector(&self, weight: f64) -> Vec<f64> {
        match &self.known {
            Some(known) if self.scored.is_empty() => known.clone(),
            Some(known) => {
                // (1 − λ)·(u₀ + u) + λ·u₀, or the first without its u₀.
                let own = if self.toward { 1.0 } else { weight };
                let mixed = self.solver.solution().into_iter().zip(known);
                mixed.map(|(u, known)| (1.0 - weight) * u + own * known).collect()
            }
            None => self.solver.solution(),
        }
    }

    fn begins(&self) -> bool {
        self.scored.is_empty() && !self.first.is_empty()
    }

    /// What the index is asked for, scored rows included.
    fn wish<'a>(&self, vector: &'a [f64], round: Round) -> Wish<'a> {
        let pool = if self.is_drawn(round) { POOL } else { 0 };
        let count = match self.begins() {
            true => 0,
            false => (round.items + self.left).max(pool) + self.scored.len(),
        };
        Wish { vector, count }
    }

    fn is_drawn(&self, round: Round) -> bool {
        round.temperature.is_some() && !self.scored.is_empty()
    }

    /// Chooses what is scored in `round`, given the `best` rows.
    fn choose(&mut self, best: Vec<Scored>, round: Round, rng: &mut Rng) {
        let wanted = round.items + self.left;
        self.asked = match (self.begins(), round.temperature.filter(|_| self.is_drawn(round))) {
            (true, _) => std::mem::take(&mut self.first),
            (false, Some(temperature)) => drawn(&self.unscored(best), wanted, temperature, rng),
            (false, None) => self.unscored(best).iter().map(|item| item.id as usize).collect(),
        };
        self.asked.truncate(wanted);
        self.left = wanted - self.asked.len();
    }

    /// Those of `best` that were not scored, in their order.
    fn unscored(&self, mut best: Vec<Scored>) -> Vec<Scored> {
        let mut scored: Vec<usize> = self.scored.iter().map(|&(item, _)| item).collect();
        scored.sort_unstable();
        best.retain(|item| scored.binary_search(&(item.id as usize)).is_err());
        best
    }

    fn best(&self, index: &Index, vector: &[f64], k: usize) -> Result<Best> {
        let mut scored = self.scored.clone();
        // -0.0 and 0.0 are one score, as in `topk`.
        scored.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
        scored.truncate(k);
        let (items, scores): (Vec<_>, Vec<_>) = scored.into_iter().unzip();
        let rows = factors::rows(index, items.iter().copied())?;
        let estimates = rows.chunks_exact(vector.len()).map(|row| dot(row, vector)).collect();
        Ok(Best { items, scores, estimates })
    }
}

impl Plan {
    fn expect(&self) -> Result<()> {
        if self.rounds.is_empty() || self.rounds.iter().any(|round| round.items == 0) {
            return Err(Error::range("rounds", "at least one, each of at least one item", "none"));
        }
        let temperatures = self.rounds.iter().filter_map(|round| round.temperature);
        if let Some(bad) = temperatures.into_iter().find(|t| !(t.is_finite() && *t > 0.0)) {
            return Err(Error::range("temperature", "above 0", bad));
        }
        if !(0.0..=1.0).contains(&self.weight) {
            return Err(Error::range("regularize", "from 0 to 1", self.weight));
        }
        self.ridge.expect()
    }
}

impl Start {
    fn expect(&self, index: &Index, count: usize) -> Result<()> {
        let lists = self.items.len();
        if lists != 0 && lists != count {
            return Err(Error::Length { what: "init", want: count, got: lists });
        }
        let count_of = self.vectors.len();
        if count_of != 0 && count_of != count {
            return Err(Error::Length { what: "vectors", want: count, got: count_of });
        }
        for (row, vector) in self.vectors.iter().enumerate() {
            if vector.len() != index.dim() {
                let (want, got) = (index.dim(), vector.len());
                return Err(Error::Columns { what: "vectors", want, got });
            }
            if vector.iter().any(|x| !x.is_finite()) {
                return Err(Error::NotFinite { what: "vectors", row });
            }
        }
        Ok(())
    }
}

/// The first items of query `i`; none if u₀ chooses them.
fn first_items(
    index: &Index,
    i: usize,
    start: &Start,
    plan: &Plan,
    filters: &dense::Search<'_>,
) -> Result<Vec<usize>> {
    let most = plan.rounds[0].items;
    let given = start.items.get(i);
    if given.is_none() && !start.vectors.is_empty() {
        return Ok(Vec::new());
    }
    let may = index.may(filters, i)?;
    let mut first = Vec::new();
    let mut seen = BTreeSet::new();
    for &item in given.into_iter().flatten() {
        if first.len() < most && may.contains(item) && seen.insert(item) {
            first.push(item);
        }
    }
    if first.is_empty() {
        first = may.sample(&mut Rng::new(plan.seed, FIRST_ITEMS), most);
    }
    Ok(first)
}

/// `count` of `items`, drawn without replacement with the weights exp(score / temperature).
///
/// The largest of score / temperature + Gumbel noise are such a draw (Vieira 2014; Kool et al. 2019),
/// and no weight can overflow or vanish.
fn drawn(items: &[Scored], count: usize, temperature: f64, rng: &mut Rng) -> Vec<usize> {
    let mut keyed: Vec<(f64, u64)> = items
        .iter()
        .map(|item| {
            let noise = -(-rng.unit().ln()).ln();
            (f64::from(item.score) / temperature + noise, item.id)
        })
        .collect();
    keyed.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keyed.into_iter().take(count).map(|(_, id)| id as usize).collect()
}
