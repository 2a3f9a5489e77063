//! Which lists a query looks into, and in which order, by whole numbers.
//!
//! Centroids are kept in six bits a number, along the first axes only: what they leave out of a row is
//! left to its code. So q·c is an exact sum of whole numbers up to the rounding of the query, and all
//! centroids are asked, in one product.

use std::sync::Arc;

use super::axes::to_whole;
use super::check::finite;
use crate::dense::Metric;
use crate::kernels::{Heights, Kernels, MOST_OUTLINED, Outline, padded};
use crate::store::{Column, Sections, Segment};
use crate::{Matrix, Result, topk};

/// How far beyond its centroid a list may reach towards the query, in spreads.
const REACH: f32 = 0.25;

/// Spreads by whose share of a direction codes may mistake a row; chosen with slack's part of it on prose.
const UNSURE: f32 = 0.9;

/// The centroids of the lists.
#[derive(Debug)]
pub(super) struct Coarse {
    metric: Metric,
    /// Axes that a centroid lies along.
    columns: usize,
    centroids: Column<i8>,
    outline: Outline,
    /// What one of a centroid's numbers is worth.
    scales: Column<f32>,
    /// Root of the mean squared distance of a list's rows to its centroid.
    spreads: Column<f32>,
    /// Root of the mean square of the spreads.
    spread: f32,
    /// Half of |c|² under l2, else nothing.
    halves: Vec<f32>,
}

/// A list worth a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    pub(super) list: u32,
    /// What its rows may reach.
    pub(super) reach: f32,
    /// q·c under dot and cosine; nothing under l2.
    pub(super) base: f32,
}

/// The lists that may reach farthest, put in order only as far as somebody asks: a search mostly ends
/// early.
#[derive(Debug, Default)]
pub(super) struct Ranking {
    /// Keys of reaches and lists, and bases.
    lists: Vec<(u64, f32)>,
    /// How many are in order: farthest reach first, of equals the lower list.
    sorted: usize,
}

/// Lists that are put in order at once.
const SORTED: usize = 10;

impl Ranking {
    pub(super) fn clear(&mut self) {
        self.lists.clear();
        self.sorted = 0;
    }

    /// The list at this place of the order; `None` if fewer were ranked.
    #[inline]
    pub(super) fn get(&mut self, at: usize) -> Option<Near> {
        while self.sorted <= at && self.sorted < self.lists.len() {
            self.sort_more();
        }
        self.lists.get(at).map(|&list| near(list))
    }

    fn sort_more(&mut self) {
        let mut rest = &mut self.lists[self.sorted..];
        let wanted = self.sorted.max(SORTED);
        if rest.len() > wanted {
            rest.select_nth_unstable_by_key(wanted, |list| list.0);
            rest = &mut rest[..wanted];
        }
        rest.sort_unstable_by_key(|list| list.0);
        self.sorted += rest.len();
    }

    /// All of them, in order as far as anybody asked.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = Near> {
        self.lists.iter().map(|&list| near(list))
    }
}

fn near((key, base): (u64, f32)) -> Near {
    Near { list: key as u32, reach: topk::score_of(key), base }
}

/// Products of some queries with all centroids.
#[derive(Debug, Default)]
pub(super) struct Products {
    whole: Vec<i8>,
    /// What one step of a query is worth.
    steps: Vec<f32>,
    sums: Vec<i32>,
}

/// Buffers of one query.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    reaches: Vec<f32>,
    places: Vec<u32>,
}

/// Centroids in whole numbers, at most [`MOST_OUTLINED`] either way, with one scale each.
pub(super) struct Centroids {
    numbers: Vec<i8>,
    scales: Vec<f32>,
}

impl Centroids {
    pub(super) fn new(centroids: &Matrix) -> Self {
        let columns = centroids.view().dim();
        let mut numbers = vec![0; centroids.view().data().len()];
        let rows = numbers.chunks_exact_mut(columns).zip(centroids.view().iter());
        let scales = rows.map(|(out, centroid)| to_outlined(centroid, out)).collect();
        Self { numbers, scales }
    }

    /// Takes the centroid of `list` off the first numbers of `row`.
    pub(super) fn take_off(&self, list: usize, row: &mut [f32]) {
        let columns = self.numbers.len() / self.scales.len();
        let own = &self.numbers[list * columns..][..columns];
        Kernels::best().axpy_i8(-self.scales[list], own, &mut row[..columns]);
    }
}

impl Coarse {
    pub(super) fn new(metric: Metric, centroids: Centroids, spreads: Vec<f32>) -> Self {
        let Centroids { numbers, scales } = centroids;
        let columns = numbers.len() / scales.len();
        let (outline, halves) = (outline(&numbers, columns), halves(metric, &numbers, &scales));
        let (centroids, scales) = (Column::Owned(numbers), Column::Owned(scales));
        let (spread, spreads) = (mean_of(&spreads), Column::Owned(spreads));
        Self { metric, columns, centroids, outline, scales, spreads, spread, halves }
    }

    pub(super) fn open(
        metric: Metric,
        segment: &Arc<Segment>,
        lists: usize,
        columns: usize,
    ) -> Result<Self> {
        let centroids: Column<i8> = Column::open(segment, "centroids", lists.checked_mul(columns))?;
        let numbers = centroids.all()?;
        if numbers.iter().any(|x| !(-MOST_OUTLINED..=MOST_OUTLINED).contains(x)) {
            return Err(segment.refuse("a centroid's number is out of range"));
        }
        let scales: Column<f32> = Column::open(segment, "centroid scales", Some(lists))?;
        let (outline, halves) = (outline(numbers, columns), halves(metric, numbers, scales.all()?));
        let spreads: Column<f32> = Column::open(segment, "spreads", Some(lists))?;
        let spread = mean_of(spreads.all()?);
        Ok(Self { metric, columns, centroids, outline, scales, spreads, spread, halves })
    }

    pub(super) fn sections<'a>(&'a self, sections: &mut Sections<'a>) -> Result<()> {
        sections.extend([
            ("centroids", self.centroids.bytes()?),
            ("centroid scales", self.scales.bytes()?),
            ("spreads", self.spreads.bytes()?),
        ]);
        Ok(())
    }

    /// Refuses numbers that are not finite.
    pub(super) fn check(&self) -> Result<()> {
        finite(&self.scales, "centroid scales")?;
        finite(&self.spreads, "spreads")
    }

    pub(super) fn lists(&self) -> usize {
        self.spreads.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// How far below the k-th best by its code a row may lie and still be among the `k` best, for a query
    /// of length 1: what lies deeper seldom is. A code of four bits for four of `columns` numbers leaves
    /// more than half of what its centroid left, alike in all directions.
    pub(super) fn unsure(&self, columns: usize) -> f32 {
        UNSURE * self.spread / (columns as f32).sqrt()
    }

    /// Multiplies `queries`, along all axes and as many as lie in them, with every centroid.
    pub(super) fn multiply<'a>(
        &self,
        queries: impl ExactSizeIterator<Item = &'a [f32]>,
        products: &mut Products,
    ) {
        let Products { whole, steps, sums } = products;
        let width = padded(self.columns);
        whole.resize(queries.len() * width, 0);
        sums.resize(queries.len() * self.outline.padded_rows(), 0);
        steps.clear();
        for (query, whole) in queries.zip(whole.chunks_exact_mut(width)) {
            steps.push(to_outlined(&query[..self.columns], whole));
        }
        Kernels::best().outline_dots(whole, &self.outline, sums);
    }

    /// Adds to `ranking`, which is in order as far as it goes, up to the `wanted` lists that may reach
    /// farthest towards query `i` of `products`, which is `length` long; of equals the lower ones.
    pub(super) fn rank(
        &self,
        products: &Products,
        i: usize,
        length: f32,
        wanted: usize,
        scratch: &mut Scratch,
        ranking: &mut Ranking,
    ) -> Result<()> {
        let (kernels, lists) = (Kernels::best(), self.lists());
        let heights = Heights {
            sums: &products.sums[i * self.outline.padded_rows()..][..lists],
            scales: self.scales.all()?,
            rests: self.spreads.all()?,
            halves: &self.halves,
            step: products.steps[i],
            reach: if self.metric == Metric::L2 { 0.0 } else { REACH * length },
            level: 0.0,
        };
        let Scratch { reaches, places } = scratch;
        reaches.resize(lists, 0.0);
        let extent = kernels.tops(&heights, reaches);
        let level = level_of_best(reaches, extent, wanted);
        places.clear();
        kernels.places_from(reaches, level, places);
        let Ranking { lists, sorted } = ranking;
        let last = lists.last().map(|list| list.0);
        let base = |list: u32| match self.metric {
            Metric::L2 => 0.0,
            _ => heights.height(list as usize),
        };
        let keys = places.iter().map(|&list| (topk::key(reaches[list as usize], list), base(list)));
        match last {
            Some(last) => lists.extend(keys.filter(|list| list.0 > last)),
            None => lists.extend(keys),
        }
        if wanted < lists.len() {
            lists[*sorted..].select_nth_unstable_by_key(wanted - *sorted, |list| list.0);
            lists.truncate(wanted);
        }
        Ok(())
    }
}

/// Writes `vector` in whole steps, at most [`MOST_OUTLINED`] either way, and zeros after it; returns the
/// step.
fn to_outlined(vector: &[f32], out: &mut [i8]) -> f32 {
    to_whole(vector, f32::from(MOST_OUTLINED), out, |bits| bits as i8)
}

/// Every number of `centroids`, as what it is times four outlines.
fn outline(centroids: &[i8], columns: usize) -> Outline {
    let fours: Vec<i8> = centroids.iter().map(|x| 4 * x).collect();
    let mut outline = Outline::default();
    Kernels::best().outline(&fours, columns, &mut outline);
    outline
}

/// Root of the mean square.
fn mean_of(spreads: &[f32]) -> f32 {
    let squares: f64 = spreads.iter().map(|&spread| f64::from(spread).powi(2)).sum();
    (squares / spreads.len().max(1) as f64).sqrt() as f32
}

fn halves(metric: Metric, numbers: &[i8], scales: &[f32]) -> Vec<f32> {
    if metric != Metric::L2 {
        return vec![0.0; scales.len()];
    }
    let columns = (numbers.len() / scales.len().max(1)).max(1);
    let square = |(numbers, scale): (&[i8], &f32)| {
        let square: i32 = numbers.iter().map(|&x| i32::from(x).pow(2)).sum();
        0.5 * square as f32 * (scale * scale)
    };
    numbers.chunks_exact(columns).zip(scales).map(square).collect()
}

/// A level that at least `wanted` of `values`, which lie between those of `extent`, reach, and mostly
/// few more: found by halving.
fn level_of_best(values: &[f32], extent: [f32; 2], wanted: usize) -> f32 {
    /// Halvings; more tell no two numbers apart.
    const MOST: usize = 30;
    let [mut low, mut high] = extent;
    if wanted >= values.len() {
        return low;
    }
    for _ in 0..MOST {
        let level = low + 0.5 * (high - low);
        let count = Kernels::best().count_from(values, level);
        if count < wanted {
            high = level;
            continue;
        }
        low = level;
        if count <= wanted + wanted / 4 + 4 {
            break;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::{Ranking, level_of_best};
    use crate::topk::key;

    #[test]
    fn a_ranking_is_in_order_however_it_is_asked() {
        let lists: Vec<(u64, f32)> =
            (0..500u32).map(|list| (key(((list * 7919) % 100) as f32, list), 0.0)).collect();
        let mut sorted = lists.clone();
        sorted.sort_unstable_by_key(|list| list.0);
        for step in [1, 7, 499] {
            let mut ranking = Ranking { lists: lists.clone(), sorted: 0 };
            for at in (0..500).step_by(step) {
                let near = ranking.get(at).expect("500 lists");
                assert_eq!((key(near.reach, near.list), near.base), sorted[at]);
            }
            assert_eq!(ranking.get(500), None);
            assert_eq!(ranking.lists, sorted);
        }
    }

    #[test]
    fn a_level_is_reached_by_as_many_as_wanted() {
        let values: Vec<f32> = (0..1000u32).map(|i| ((i * 7919) % 1000) as f32).collect();
        for wanted in [0, 1, 7, 100, 999, 1000, 2000] {
            let level = level_of_best(&values, [0.0, 999.0], wanted);
            let count = values.iter().filter(|&&x| x >= level).count();
            assert!(count >= wanted.min(1000), "{wanted}: {count}");
            assert!(count <= wanted + wanted / 4 + 4, "{wanted}: {count}");
        }
        let equal = [1.0; 50];
        assert_eq!(level_of_best(&equal, [1.0, 1.0], 3), 1.0);
    }
}
