//! k-means: seeding by oversampling, Lloyd's iteration, and the nearest centroid of many rows.
//!
//! The result is a function of rows, settings and seed: every assignment is decided by the canonical
//! kernel, every mean adds its rows in their order, and nothing depends on threads or CPU.

mod near;
mod nearest;
mod seed;

use crate::{Cancel, Error, Matrix, MatrixRef, Result, Threads, rng::Rng};
pub use nearest::Nearest;
use nearest::nearest;
pub(crate) use nearest::{Finder, check};

/// Members added to a mean between two looks at the cancel flag: a few milliseconds of work.
const POLL: usize = 4096;

/// Rows a cluster that the first moves look at, while all rows would teach them no more.
const EARLY_ROWS: usize = 24;
/// Those moves end once one lowers the objective by less than this part, and leave at least so many.
const EARLY_TOLERANCE: f64 = 5e-3;
const LATE_MOVES: usize = 4;

/// Where the centroids start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seeding {
    /// Far apart, by k-means‖ (Bahmani and others 2012): the lowest objective.
    Apart,
    /// Rows drawn evenly. A few percent above that objective, but with more centroids where rows are
    /// dense: lists that start so hold the same share of the nearest rows in fewer codes.
    Drawn,
}

/// What k-means is asked for. `KMeans { seed: 7, ..KMeans::new(256) }.fit(…)`.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// How many centroids.
    pub clusters: usize,
    /// Where the centroids start.
    pub seeding: Seeding,
    /// At most this many moves of the centroids.
    pub iterations: usize,
    /// Stops once a move lowers the objective by less than this part of it.
    pub tolerance: f64,
    /// Trains on at most this many rows a cluster, drawn evenly from all of them.
    pub rows_per_cluster: usize,
    /// Bytes that the training rows and what is kept beside each of them may take. Rows used in
    /// place, because all of them fit, count as if copied. Beside it stand the centroids, and less
    /// than 1 MiB a thread for rows of up to 1,024 numbers.
    pub memory_budget: usize,
    /// The same seed gives the same bytes.
    pub seed: u64,
}

impl KMeans {
    /// `clusters` centroids by at most 15 moves on at most 256 rows a cluster, in at most 2 GiB.
    pub fn new(clusters: usize) -> Self {
        Self {
            clusters,
            seeding: Seeding::Apart,
            iterations: 15,
            tolerance: 1e-3,
            rows_per_cluster: 256,
            memory_budget: 2 << 30,
            seed: 0,
        }
    }

    /// Centroids of `rows`, with a small sum of squared distances to the rows.
    ///
    /// Seeds, then moves each centroid to the mean of the rows
    /// nearest to it (the lower number on ties). A cluster left empty takes the row that lies
    /// farthest from its centroid (the lower row on ties) out of a cluster of several; where every
    /// row lies on its centroid, because there are fewer different rows than clusters, it keeps the
    /// centroid it has, a copy of another.
    ///
    /// Refuses 0 clusters, more clusters than rows, a budget below one row a cluster, NaN and
    /// infinities, and rows whose squared length exceeds 10³⁷.
    pub fn fit(&self, rows: MatrixRef<'_>, threads: Threads, cancel: &Cancel) -> Result<Clusters> {
        let k = self.clusters;
        if k == 0 || k > rows.rows() || u32::try_from(k).is_err() {
            return Err(Error::range("clusters", format!("1 to {} (rows)", rows.rows()), k));
        }
        check("rows", rows, threads, cancel)?;
        match self.picks(rows)? {
            Some(picks) => self.lloyd(draw(rows, &picks, threads, cancel)?.view(), threads, cancel),
            None => self.lloyd(rows, threads, cancel),
        }
    }

    /// The places of the rows to train on; `None` if that is all of them.
    pub(crate) fn picks(&self, rows: MatrixRef<'_>) -> Result<Option<Vec<usize>>> {
        // Beside each row: its nearest centroid, those of a round of seeding, its place in a list.
        let row_bytes = rows.dim() * size_of::<f32>() + 2 * size_of::<Nearest>() + 8;
        let fits = self.memory_budget / row_bytes;
        if fits < self.clusters {
            let want = format!("at least {} bytes, one row a cluster", self.clusters * row_bytes);
            return Err(Error::range("memory_budget", want, self.memory_budget));
        }
        let wanted = self.rows_per_cluster.max(1).saturating_mul(self.clusters);
        Ok(picks(rows.rows(), fits.min(wanted), Rng::new(self.seed, 0)))
    }

    fn lloyd(&self, rows: MatrixRef<'_>, threads: Threads, cancel: &Cancel) -> Result<Clusters> {
        let mut centroids = match self.seeding {
            Seeding::Apart => seed::seed(rows, self.clusters, self.seed, threads, cancel)?,
            Seeding::Drawn => {
                let drawn = Sample::draw(rows, self.clusters, Rng::new(self.seed, 4));
                drawn.gather(&(0..drawn.len()).collect::<Vec<_>>())
            }
        };
        let few = self.clusters.saturating_mul(EARLY_ROWS);
        let mut iterations = 0;
        if few < rows.rows() / 2 {
            let sample = Sample::draw(rows, few, Rng::new(self.seed, 3));
            let moves = self.iterations.saturating_sub(LATE_MOVES);
            let (tolerance, early) = (self.tolerance.max(EARLY_TOLERANCE), &mut centroids);
            iterations = self.moves(&sample, early, moves, tolerance, threads, cancel)?.1;
        }
        let all = Sample::all(rows);
        let left = self.iterations - iterations;
        let (objective, late) =
            self.moves(&all, &mut centroids, left, self.tolerance, threads, cancel)?;
        Ok(Clusters { centroids, objective, rows: rows.rows(), iterations: iterations + late })
    }

    /// Moves `centroids` at most `moves` times; returns the last objective and how often they moved.
    fn moves(
        &self,
        sample: &Sample<'_>,
        centroids: &mut Matrix,
        moves: usize,
        tolerance: f64,
        threads: Threads,
        cancel: &Cancel,
    ) -> Result<(f64, usize)> {
        let near = self.clusters >= 8 * near::NEAR && sample.len() >= 16 * self.clusters;
        let all = |centroids: &Matrix| nearest(sample, centroids.view(), threads, cancel);
        let sum = |found: &[Nearest]| found.iter().map(|f| f64::from(f.distance)).sum::<f64>();
        let mut found = all(centroids)?;
        let mut last = f64::INFINITY;
        for moved in 0.. {
            let objective = sum(&found);
            let still = last.is_finite() && last - objective <= tolerance * last;
            if moved >= moves || objective == 0.0 || still {
                // Looking near by may have missed some.
                let objective = if near && moved > 0 { sum(&all(centroids)?) } else { objective };
                return Ok((objective, moved));
            }
            last = objective;
            fill_empty(&mut found, self.clusters);
            let before = Members::new(&found, self.clusters);
            move_to_means(centroids, sample, &before, threads, cancel)?;
            found = if near && moved % near::ALL != near::ALL - 1 {
                near::nearest(sample, centroids.view(), &before, threads, cancel)?
            } else {
                all(centroids)?
            };
        }
        unreachable!("the loop returns after `moves` moves")
    }
}

/// Trained centroids.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// One row a cluster.
    pub centroids: Matrix,
    /// Sum over the training rows of the squared distance to the nearest centroid.
    pub objective: f64,
    /// How many rows trained them.
    pub rows: usize,
    /// How often the centroids moved.
    pub iterations: usize,
}

/// The nearest centroid of every row, by the canonical squared distance; the lower number on ties.
///
/// Refuses what [`KMeans::fit`] refuses about rows, in `rows` and in `centroids`.
pub fn assign(
    rows: MatrixRef<'_>,
    centroids: MatrixRef<'_>,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<Nearest>> {
    rows.expect_dim("rows", centroids.dim())?;
    if centroids.rows() == 0 || u32::try_from(centroids.rows()).is_err() {
        return Err(Error::range("centroids", "1 to 2^32 - 1 rows", centroids.rows()));
    }
    check("centroids", centroids, threads, cancel)?;
    check("rows", rows, threads, cancel)?;
    nearest(&Sample::all(rows), centroids, threads, cancel)
}

/// All rows, or some of them, which stay where they are.
struct Sample<'a> {
    rows: MatrixRef<'a>,
    picks: Option<Vec<usize>>,
}

impl<'a> Sample<'a> {
    fn all(rows: MatrixRef<'a>) -> Self {
        Self { rows, picks: None }
    }

    /// `count` rows in their order, one from each of `count` even stretches; all, if those are no more.
    fn draw(rows: MatrixRef<'a>, count: usize, rng: Rng) -> Self {
        Self { rows, picks: picks(rows.rows(), count, rng) }
    }

    fn len(&self) -> usize {
        self.picks.as_ref().map_or(self.rows.rows(), Vec::len)
    }

    fn row(&self, i: usize) -> &'a [f32] {
        self.rows.row(self.picks.as_ref().map_or(i, |picks| picks[i]))
    }

    /// Rows `range` in one run, `gathered` if they are not.
    fn slice<'b>(
        &'b self,
        range: std::ops::Range<usize>,
        gathered: &'b mut Option<Matrix>,
    ) -> MatrixRef<'b> {
        match &self.picks {
            None => self.rows.slice(range),
            Some(picks) => gathered.insert(self.rows.gather(&picks[range])).view(),
        }
    }

    /// An owned copy of the rows named by `places`.
    fn gather(&self, places: &[usize]) -> Matrix {
        match &self.picks {
            None => self.rows.gather(places),
            Some(picks) => self.rows.gather(&places.iter().map(|&i| picks[i]).collect::<Vec<_>>()),
        }
    }
}

/// Places of `count` of `n` rows, one drawn from each of `count` even stretches; `None` if all.
fn picks(n: usize, count: usize, mut rng: Rng) -> Option<Vec<usize>> {
    let start = |i: usize| (i as u128 * n as u128 / count as u128) as usize;
    (count < n).then(|| (0..count).map(|i| start(i) + rng.below(start(i + 1) - start(i))).collect())
}

/// A copy of the rows at `picks`.
fn draw(rows: MatrixRef<'_>, picks: &[usize], threads: Threads, cancel: &Cancel) -> Result<Matrix> {
    let mut sample = Matrix::zeros(picks.len(), rows.dim());
    threads.chunks_mut(sample.data_mut(), rows.dim(), 1024, cancel, |first, chunk| {
        for (row, &pick) in chunk.chunks_exact_mut(rows.dim()).zip(&picks[first..]) {
            row.copy_from_slice(rows.row(pick));
        }
        Ok(())
    })?;
    Ok(sample)
}

/// Moves the farthest rows of clusters of several into the empty clusters, one each.
fn fill_empty(found: &mut [Nearest], clusters: usize) {
    let mut sizes = vec![0usize; clusters];
    found.iter().for_each(|f| sizes[f.centroid as usize] += 1);
    let empty: Vec<_> = (0u32..).zip(&sizes).filter(|(_, n)| **n == 0).map(|(c, _)| c).collect();
    if empty.is_empty() {
        return;
    }
    let mut far: Vec<_> = (0..found.len()).filter(|&i| found[i].distance > 0.0).collect();
    far.sort_by(|&a, &b| found[b].distance.total_cmp(&found[a].distance).then(a.cmp(&b)));
    let mut empty = empty.into_iter();
    for i in far {
        let size = &mut sizes[found[i].centroid as usize];
        if *size > 1 {
            let Some(centroid) = empty.next() else { return };
            *size -= 1;
            found[i] = Nearest { centroid, distance: 0.0 };
        }
    }
}

/// The rows of each cluster, in their order.
struct Members {
    /// Where each cluster ends in `rows`.
    ends: Vec<usize>,
    rows: Vec<usize>,
}

impl Members {
    fn new(found: &[Nearest], clusters: usize) -> Self {
        let mut ends = vec![0usize; clusters + 1];
        found.iter().for_each(|f| ends[f.centroid as usize + 1] += 1);
        (1..ends.len()).for_each(|c| ends[c] += ends[c - 1]);
        let mut rows = vec![0usize; found.len()];
        for (row, f) in found.iter().enumerate() {
            let end = &mut ends[f.centroid as usize];
            rows[*end] = row;
            *end += 1;
        }
        // Now ends[c] is the end of cluster c, whose start is the end of the one before.
        Self { ends, rows }
    }

    fn of(&self, cluster: usize) -> &[usize] {
        let start = if cluster == 0 { 0 } else { self.ends[cluster - 1] };
        &self.rows[start..self.ends[cluster]]
    }
}

/// Each centroid becomes the mean of its rows, added in their order in `f64`; one without rows stays.
fn move_to_means(
    centroids: &mut Matrix,
    sample: &Sample<'_>,
    members: &Members,
    threads: Threads,
    cancel: &Cancel,
) -> Result<()> {
    let dim = sample.rows.dim();
    threads.chunks_mut(centroids.data_mut(), dim, 4, cancel, |first, chunk| {
        let mut sums = vec![0.0f64; dim];
        for (c, centroid) in (first..).zip(chunk.chunks_exact_mut(dim)) {
            let members = members.of(c);
            sums.fill(0.0);
            for some in members.chunks(POLL) {
                cancel.check()?;
                for &row in some {
                    for (sum, x) in sums.iter_mut().zip(sample.row(row)) {
                        *sum += f64::from(*x);
                    }
                }
            }
            if !members.is_empty() {
                for (mean, sum) in centroid.iter_mut().zip(&sums) {
                    *mean = (sum / members.len() as f64) as f32;
                }
            }
        }
        Ok(())
    })
}
