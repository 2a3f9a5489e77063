//! The nearest centroid among those near the last one: between full searches, most of their gain.
//!
//! When centroids move, a row nearly always goes to one that lies beside its own. So each row is
//! compared with the [`NEAR`] centroids nearest to its last one alone. Those are found by the canonical
//! distance, like the nearest among them: the result is a function of the input as before, and what it
//! misses the next full search finds.

use super::nearest::{Finder, Nearest};
use super::{Members, Sample};
use crate::kernels::Kernels;
use crate::{Cancel, MatrixRef, Result, Threads};

/// Centroids that a row is compared with, its last one among them.
pub(super) const NEAR: usize = 48;
/// Every so many searches one looks at all centroids.
pub(super) const ALL: usize = 8;

/// For each row the nearest of the centroids near that of the cluster that it was a member of.
pub(super) fn nearest(
    sample: &Sample<'_>,
    centroids: MatrixRef<'_>,
    members: &Members,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<Nearest>> {
    let clusters = threads.blocks(centroids.rows(), 1, cancel, |cluster| {
        let members = members.of(cluster.start);
        let mut found = vec![Nearest::default(); members.len()];
        if members.is_empty() {
            return Ok(found);
        }
        let near = neighbours(centroids, cluster.start);
        let candidates = centroids.gather(&near);
        let finder = Finder::new(candidates.view());
        for (found, rows) in found.chunks_mut(finder.rows()).zip(members.chunks(finder.rows())) {
            finder.find(sample.gather(rows).view(), found, cancel)?;
            found.iter_mut().for_each(|f| f.centroid = near[f.centroid as usize] as u32);
        }
        Ok(found)
    })?;
    let mut found = vec![Nearest::default(); sample.len()];
    for (cluster, own) in clusters.into_iter().enumerate() {
        members.of(cluster).iter().zip(own).for_each(|(&row, own)| found[row] = own);
    }
    Ok(found)
}

/// The centroids nearest to one of them, ascending by number, so that ties stay with the lower one.
fn neighbours(centroids: MatrixRef<'_>, cluster: usize) -> Vec<usize> {
    let mut distances = vec![0.0; centroids.rows()];
    Kernels::best().l2s(centroids.row(cluster), centroids, &mut distances);
    let mut order: Vec<_> = (0..centroids.rows()).collect();
    order.select_nth_unstable_by(NEAR - 1, |&a, &b| {
        distances[a].total_cmp(&distances[b]).then(a.cmp(&b))
    });
    order.truncate(NEAR);
    order.sort_unstable();
    order
}
