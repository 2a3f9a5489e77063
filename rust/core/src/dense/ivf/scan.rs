//! One query's way through the lists: the codes of one after the other, until the rest cannot matter.

use super::Ivf;
use super::coarse::Near;
use super::filtered::{Depth, End, Scanned};
use super::search::Effort;
use super::select::Best;
use crate::Result;
use crate::dense::filter::Bits;
use crate::kernels::{Kernels, MOST_ENTRY, Passing};
use crate::quantize::ByteTables;

/// One query's way through the lists.
pub(super) struct Scan<'a> {
    ivf: &'a Ivf,
    places: Option<&'a Bits>,
    tables: &'a ByteTables,
    passing: &'a mut Passing,
    best: &'a mut Best,
    /// What would be kept without a filter, until that search would have ended.
    all: Option<&'a mut Best>,
    /// q·c of the nearest list, from which whole scores count: no score then exceeds the largest sum,
    /// but for lists that turn up late.
    top: f32,
    /// Whole scores to 1.
    steps: f32,
    /// The largest sum.
    most: i32,
    codes: usize,
    missed: bool,
    /// Part of the depth without a filter that is looked to with it.
    part: f32,
}

impl<'a> Scan<'a> {
    pub(super) fn new(
        ivf: &'a Ivf,
        places: Option<&'a Bits>,
        lists: impl Iterator<Item = Near>,
        tables: &'a ByteTables,
        passing: &'a mut Passing,
        best: &'a mut Best,
        all: Option<&'a mut Best>,
    ) -> Self {
        let top = lists.fold(f32::MIN, |top, near| top.max(near.base));
        let steps = if tables.step() > 0.0 { 1.0 / tables.step() } else { 0.0 };
        let most = (MOST_ENTRY as usize * tables.parts()).min(usize::from(u16::MAX)) as i32;
        let (codes, missed, part) = (0, false, 1.0);
        Self { ivf, places, tables, passing, best, all, top, steps, most, codes, missed, part }
    }

    /// What a list adds to the sums of its codes.
    #[inline]
    pub(super) fn base(&self, near: Near) -> i32 {
        // Far beyond what a score can be, and far from the ends of i32.
        ((near.base - self.top) * self.steps).clamp(-1e9, 1e9) as i32
    }

    /// The largest sum.
    pub(super) fn most(&self) -> i32 {
        self.most
    }

    /// Codes compared so far.
    pub(super) fn codes(&self) -> usize {
        self.codes
    }

    /// Offers the codes of one list.
    pub(super) fn list(&mut self, near: Near) -> Result<()> {
        let (list, base) = (near.list as usize, self.base(near));
        let positions = self.ivf.positions(list);
        self.codes += positions.len();
        let least = self.best.least().saturating_sub(base);
        if least > self.most {
            return Ok(());
        }
        let codes = self.ivf.codes.get(self.ivf.code_range(list))?;
        self.passing.clear();
        let least = least.max(0) as u16;
        Kernels::best().scan_from(self.tables.bytes(), codes, least, self.passing);
        for &(place, sum) in self.passing.iter() {
            let (position, score) = (positions.start + place as usize, base + i32::from(sum));
            if position >= positions.end {
                continue;
            }
            if let Some(all) = &mut self.all {
                all.push(score, position as u32);
            }
            if self.places.is_none_or(|places| places.block(position) & 1 == 1) {
                self.best.push(score, position as u32);
            }
        }
        if let Some(all) = &mut self.all {
            all.settle();
        }
        self.best.settle();
        Ok(())
    }

    /// What the code of the k-th of `best` says of its score; −∞ before there are so many.
    fn kth(&self, best: &Best) -> f32 {
        let score = |whole| self.top + self.tables.score(0) + whole as f32 * self.tables.step();
        best.kth().map_or(f32::NEG_INFINITY, score)
    }

    /// Begins to keep what `effort` wants and lies less than `hopeless` below the k-th best, and what lies
    /// as deep as `end` says.
    pub(super) fn start(&mut self, effort: Effort, hopeless: f32, end: End) {
        self.part = effort.part;
        let hopeless = (hopeless * self.steps) as i32;
        self.best.start(effort.rescore, effort.k, self.most, hopeless, self.all.is_some());
        if let Some(all) = &mut self.all {
            all.start(effort.rescore, effort.k, self.most, hopeless, false);
        }
        match end {
            End::Effort => {}
            End::Below(depth) => self.missed = self.best.deepen(depth.codes),
            End::From(score, depth) => {
                let whole = (score - self.top - self.tables.score(0)) * self.steps;
                self.best.deepen_to((whole as i32).saturating_sub(depth.codes));
            }
        }
    }

    /// Whether the search is over after the list `near`. `late` says whether the effort is spent when
    /// the k-th best has this score; under a filter it tells how deep that went, and `end` becomes that.
    pub(super) fn is_over(
        &mut self,
        near: Near,
        end: &mut End,
        late: impl Fn(f32) -> bool,
    ) -> bool {
        let depth = match *end {
            End::From(score, depth) => return near.reach + depth.lists <= score,
            End::Below(depth) => depth,
            End::Effort => {
                let kth = self.kth(self.all.as_deref().unwrap_or(self.best));
                if kth == f32::NEG_INFINITY || !late(kth) {
                    return false;
                }
                let Some(all) = self.all.take() else { return true };
                let (lists, codes) = (kth - near.reach, all.depth() as f32);
                let codes = (self.part * codes) as i32;
                let depth = Depth { kth, lists: self.part * lists, codes };
                self.missed = self.best.deepen(depth.codes);
                *end = End::Below(depth);
                depth
            }
        };
        self.missed || near.reach + depth.lists <= self.kth(self.best)
    }

    /// What was done, with `end` as it became.
    pub(super) fn done(&self, end: End) -> Scanned {
        let depth = match end {
            End::Effort => None,
            End::Below(depth) | End::From(_, depth) => Some(depth),
        };
        Scanned { codes: self.codes, kth: self.kth(self.best), depth, missed: self.missed }
    }
}
