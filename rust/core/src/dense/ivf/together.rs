//! Many queries at once, list by list: the codes of a list are read once for all queries that look into it.
//!
//! A query alone takes its lists nearest first, and each has to come from memory. Of many queries
//! several look into the same list; the first of them brings its codes near for all. What a query keeps does
//! not depend on the order in which it sees its lists, so it finds what it finds alone, bit for bit. That
//! holds where the number of lists is set; with slack, how good the best are so far decides what comes next.

use std::ops::Range;

use super::Ivf;
use super::filtered::End;
use super::scan::Scan;
use super::search::{Effort, Query, ROUND, Scratch};
use crate::dense::filter::Filter;
use crate::dense::{Cost, Found};
use crate::kernels::{Kernels, Passing};
use crate::quantize::ByteTables;
use crate::{Cancel, MatrixRef, Result};

/// Lists that a query looks into alone, its nearest, to know what is not worth keeping.
const FIRST: usize = 4;
/// So many queries go together that about this many look into a list: with more, what is kept of each is
/// no longer near when its next list comes.
const TO_A_LIST: usize = 8;
/// With fewer to a list, holding them apart costs more than it saves.
const FEWEST_TO_A_LIST: usize = 3;
/// The most queries that go together, and the most candidates that are held for them.
const MOST: usize = 1024;
const HELD: usize = 1 << 19;
/// Lists between two looks at the flag to stop.
const POLL: usize = 64;

/// One query on its way.
#[derive(Default)]
struct Way {
    tables: ByteTables,
    /// The largest sum.
    most: i32,
    /// Scores and positions: the wanted ones among them.
    taken: Vec<(i32, u32)>,
    /// What is below need not be taken.
    least: i32,
    codes: usize,
}

/// A list that a query looks into.
#[derive(Debug, Clone, Copy, Default)]
struct Visit {
    list: u32,
    way: u32,
    /// What the list adds to sums.
    base: i32,
}

/// Buffers of queries that go together.
#[derive(Default)]
pub(super) struct Together {
    ways: Vec<Way>,
    visits: Vec<Visit>,
    /// The same, list by list.
    sorted: Vec<Visit>,
    /// Where each list's begin in `sorted`.
    starts: Vec<usize>,
    passing: Passing,
}

impl Way {
    /// Takes the codes of one list that are worth it.
    #[inline]
    fn compare(&mut self, codes: &[u8], rows: Range<usize>, base: i32, passing: &mut Passing) {
        self.codes += rows.len();
        let least = self.least.saturating_sub(base);
        if least > self.most {
            return;
        }
        passing.clear();
        Kernels::best().scan_from(self.tables.bytes(), codes, least.max(0) as u16, passing);
        let inside = passing.iter().filter(|(place, _)| (*place as usize) < rows.len());
        let score = |&(place, sum): &(u32, u16)| (base + i32::from(sum), rows.start as u32 + place);
        self.taken.extend(inside.map(score));
    }

    /// Keeps the best `wanted`: higher score first, then lower place.
    fn cut(&mut self, wanted: usize) {
        if self.taken.len() > wanted {
            let order = |&(score, place): &(i32, u32)| (std::cmp::Reverse(score), place);
            let (_, &mut (least, _), _) = self.taken.select_nth_unstable_by_key(wanted - 1, order);
            self.taken.truncate(wanted);
            self.least = least;
        }
    }
}

impl Together {
    /// Sorts the visits by their lists.
    fn sort(&mut self, lists: usize) {
        let Self { visits, sorted, starts, .. } = self;
        starts.clear();
        starts.resize(lists + 1, 0);
        visits.iter().for_each(|visit| starts[visit.list as usize + 1] += 1);
        let mut sum = 0;
        starts.iter_mut().for_each(|start| {
            sum += *start;
            *start = sum;
        });
        sorted.resize(visits.len(), Visit::default());
        for visit in visits.iter() {
            let at = &mut starts[visit.list as usize];
            sorted[*at] = *visit;
            *at += 1;
        }
    }
}

impl Ivf {
    /// How many of `queries` go together, each by `effort`; `None` if each better goes alone.
    pub(super) fn together(&self, queries: usize, threads: usize, effort: Effort) -> Option<usize> {
        let (probes, lists) = (effort.probes, self.lists());
        if effort.slack.is_finite() || probes <= FIRST {
            return None;
        }
        let wanted =
            (TO_A_LIST * lists / probes).min(MOST).min(HELD / effort.rescore.max(1)).max(1);
        // As many for one thread as for the other.
        let blocks = queries.div_ceil(wanted).next_multiple_of(threads);
        let even = queries.div_ceil(blocks.max(1));
        (even * probes >= FEWEST_TO_A_LIST * lists).then_some(even)
    }

    /// The best rows of each of `queries`, which are prepared, of all rows.
    pub(super) fn search_together(
        &self,
        queries: MatrixRef<'_>,
        effort: Effort,
        cancel: &Cancel,
    ) -> Result<Vec<Found>> {
        let mut scratch = Scratch::take();
        let mut together = std::mem::take(&mut scratch.together);
        together.visits.clear();
        together.ways.resize_with(queries.rows().max(together.ways.len()), Way::default);
        for (i, numbers) in queries.iter().enumerate() {
            if i % ROUND == 0 {
                cancel.check()?;
                let round = i..(i + ROUND).min(queries.rows());
                self.aim(queries.slice(round), &mut scratch.aim)?;
            }
            let query = Query::new(numbers, i % ROUND);
            self.set_out(query, i, effort, &mut scratch, &mut together)?;
        }
        self.visit(effort, &mut together, cancel)?;
        let ways = &mut together.ways[..queries.rows()];
        ways.iter_mut().for_each(|way| way.cut(effort.rescore));
        let mut found = Vec::with_capacity(queries.rows());
        for (i, numbers) in queries.iter().enumerate() {
            let Way { taken, codes, .. } = &ways[i];
            if taken.len() < effort.k && effort.probes < self.lists() {
                let alone = &mut std::iter::once(i..i + 1);
                let own = self.search_blocks(queries, alone, Filter::All, effort, cancel)?;
                found.extend(own.into_iter().map(|(_, own)| own));
                continue;
            }
            let next = ways.get(i + 1).map_or(&[][..], |way| &way.taken);
            let best = self.rescore(numbers, effort.k, taken, 0, next)?;
            let cost = Cost { codes: *codes as u64, rows: taken.len() as u64 };
            found.push(Found { best, cost });
        }
        scratch.together = together;
        scratch.keep();
        Ok(found)
    }

    /// Looks into the nearest lists of a query, the `i`-th, and notes the others for later.
    fn set_out(
        &self,
        query: Query<'_>,
        i: usize,
        effort: Effort,
        scratch: &mut Scratch,
        together: &mut Together,
    ) -> Result<()> {
        self.begin(query, effort, scratch)?;
        let Scratch { ranking, tables, passing, best, .. } = scratch;
        let mut scan = Scan::new(self, None, ranking.all(), tables, passing, best, None);
        scan.start(effort, f32::INFINITY, End::Effort);
        (0..FIRST).map_while(|at| ranking.get(at)).try_for_each(|near| scan.list(near))?;
        let way = &mut together.ways[i];
        (way.codes, way.most) = (scan.codes(), scan.most());
        together.visits.extend(ranking.all().skip(FIRST).map(|near| Visit {
            list: near.list,
            way: i as u32,
            base: scan.base(near),
        }));
        way.least = best.least();
        best.finish_into(&mut way.taken);
        std::mem::swap(&mut way.tables, tables);
        Ok(())
    }

    /// Compares the codes of each list with all queries that look into it.
    fn visit(&self, effort: Effort, together: &mut Together, cancel: &Cancel) -> Result<()> {
        let kernels = Kernels::best();
        together.sort(self.lists());
        let Together { ways, sorted, passing, .. } = together;
        let mut lists = sorted.chunk_by(|one, other| one.list == other.list).peekable();
        let mut count = 0;
        while let Some(visits) = lists.next() {
            if count % POLL == 0 {
                cancel.check()?;
            }
            count += 1;
            if let Some(next) = lists.peek() {
                kernels.prefetch(self.codes.peek(self.code_range(next[0].list as usize)));
            }
            let list = visits[0].list as usize;
            let (codes, positions) = (self.codes.get(self.code_range(list))?, self.positions(list));
            for (at, visit) in visits.iter().enumerate() {
                if let Some(next) = visits.get(at + 1) {
                    kernels.prefetch(ways[next.way as usize].tables.bytes());
                }
                let way = &mut ways[visit.way as usize];
                way.compare(codes, positions.clone(), visit.base, passing);
                if way.taken.len() >= 2 * effort.rescore + FIRST {
                    way.cut(effort.rescore);
                }
            }
        }
        Ok(())
    }
}
