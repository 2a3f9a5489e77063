//! Where the centroids start: k-means‖ (Bahmani and others, "Scalable k-means++", VLDB 2012).
//!
//! k-means++ draws one centroid after the other, each row with the probability of its squared
//! distance to those drawn so far: k passes over the rows. Here a round draws many at once, and a
//! pass is one search for the nearest of them, as fast as a step of Lloyd's:
//!
//! ```text
//! draw one row; then ROUNDS times: draw k / 2 rows, each as probable as its squared distance
//! weigh each drawn row by how many rows it is the nearest of
//! from the drawn rows choose k by k-means++, squared distance times weight
//! ```

use super::Sample;
use super::nearest::{Nearest, nearest};
use crate::kernels::Kernels;
use crate::{Cancel, Matrix, MatrixRef, Result, Threads, rng::Rng};

/// Rounds of drawing; the paper finds five enough.
const ROUNDS: usize = 5;
/// Rows a cluster that seeding looks at, and the least it looks at.
const ROWS_PER_CLUSTER: usize = 32;
const LEAST_ROWS: usize = 4096;

/// `k` of the rows, far apart and in the thick of them. There are at least `k` rows.
pub(super) fn seed(
    rows: MatrixRef<'_>,
    k: usize,
    seed: u64,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Matrix> {
    let count = k.saturating_mul(ROWS_PER_CLUSTER).max(LEAST_ROWS);
    let rows = Sample::draw(rows, count, Rng::new(seed, 1));
    let mut rng = Rng::new(seed, 2);
    let mut drawn = vec![rng.below(rows.len())];
    let mut closest = nearest(&rows, rows.gather(&drawn).view(), threads, cancel)?;
    for _ in 0..ROUNDS {
        let picks =
            weighted(closest.iter().map(|c| f64::from(c.distance)), k.div_ceil(2), &mut rng);
        if picks.is_empty() {
            break;
        }
        let found = nearest(&rows, rows.gather(&picks).view(), threads, cancel)?;
        for (closest, found) in closest.iter_mut().zip(found) {
            if found.distance < closest.distance {
                let centroid = drawn.len() as u32 + found.centroid;
                *closest = Nearest { centroid, ..found };
            }
        }
        drawn.extend(picks);
    }
    let mut weights = vec![0.0; drawn.len()];
    closest.iter().for_each(|c| weights[c.centroid as usize] += 1.0);
    if drawn.len() < k {
        // Fewer different rows than k: any others will do, and weigh nothing.
        let taken: std::collections::BTreeSet<_> = drawn.iter().copied().collect();
        drawn.extend((0..rows.len()).filter(|row| !taken.contains(row)).take(k - taken.len()));
        weights.resize(drawn.len(), 0.0);
    }
    let drawn = rows.gather(&drawn);
    let chosen = plus_plus(drawn.view(), &weights, k, &mut rng, threads, cancel)?;
    Ok(drawn.view().gather(&chosen))
}

/// Up to `count` different numbers, each as probable as its weight: the running sum is cut into
/// `count` equal stretches, and each has one random point. None if no weight is above 0.
fn weighted(weights: impl Iterator<Item = f64> + Clone, count: usize, rng: &mut Rng) -> Vec<usize> {
    let stretch = weights.clone().sum::<f64>() / count as f64;
    let (mut sum, mut stretches, mut picks) = (0.0, 0, Vec::with_capacity(count));
    let mut point = stretch * rng.unit();
    for (i, weight) in weights.enumerate() {
        sum += weight;
        if sum > point && stretches < count {
            picks.push(i);
        }
        while sum > point && stretches < count {
            stretches += 1;
            point = stretch * (stretches as f64 + rng.unit());
        }
    }
    picks
}

/// `k` different rows by k-means++ with weights.
fn plus_plus(
    rows: MatrixRef<'_>,
    weights: &[f64],
    k: usize,
    rng: &mut Rng,
    threads: Threads,
    cancel: &Cancel,
) -> Result<Vec<usize>> {
    let kernels = Kernels::best();
    let mut distances = vec![f32::INFINITY; rows.rows()];
    let mut chosen = Vec::with_capacity(k);
    let mut free = vec![true; rows.rows()];
    let block = (1 << 18) / rows.dim().min(1 << 18);
    while chosen.len() < k {
        let first = chosen.is_empty();
        let chance = |i: usize| weights[i] * if first { 1.0 } else { f64::from(distances[i]) };
        // Where nothing is left to be won, the first free row: copies of rows already chosen.
        let pick = weighted((0..rows.rows()).map(chance), 1, rng).first().copied();
        let pick = pick.or_else(|| free.iter().position(|free| *free));
        let pick = pick.expect("there are at least k rows");
        free[pick] = false;
        chosen.push(pick);
        threads.chunks_mut(&mut distances, 1, block, cancel, |start, distances| {
            let mut found = vec![0.0; distances.len()];
            kernels.l2s(rows.row(pick), rows.slice(start..start + distances.len()), &mut found);
            for (distance, found) in distances.iter_mut().zip(found) {
                *distance = distance.min(found);
            }
            Ok(())
        })?;
    }
    Ok(chosen)
}
