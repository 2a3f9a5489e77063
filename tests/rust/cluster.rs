//! k-means against its naive twin; the same bytes for any threads and any tier.

use std::process::Command;
use std::time::{Duration, Instant};

use magnetite_core::cluster::{KMeans, Nearest, assign};
use magnetite_core::kernels::{Kernels, LANES, SHORT};
use magnetite_core::{Cancel, Error, Matrix, MatrixRef, Threads, oracle, rng::Rng};
use proptest::prelude::*;

/// `n` rows around `centers` random centers, which lie far apart beside their `spread`.
fn blobs(seed: u64, n: usize, dim: usize, centers: usize, spread: f32) -> Matrix {
    let mut rng = Rng::new(seed, 0);
    let mut uniform = |n: usize| (0..n).map(|_| rng.unit() as f32 - 0.5).collect::<Vec<_>>();
    let (means, noise) = (uniform(centers * dim), uniform(n * dim));
    let row = |i: usize| &means[i % centers * dim..][..dim];
    let data = (0..n).flat_map(|i| {
        row(i)
            .iter()
            .zip(&noise[i * dim..])
            .map(|(mean, noise)| mean + spread * noise)
            .collect::<Vec<_>>()
    });
    Matrix::new(data.collect(), dim).unwrap()
}

fn fit(means: &KMeans, rows: MatrixRef<'_>) -> magnetite_core::cluster::Clusters {
    means.fit(rows, Threads::ONE, &Cancel::new()).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Dims around LANES; few rows and many; spreads down to copies of one row, where all distances
    /// are alike up to rounding and every proposal is close to the best.
    #[test]
    fn assignments_are_those_of_the_canonical_distance(
        seed: u64, dim in prop_oneof![Just(1), Just(2), Just(SHORT), Just(SHORT + 1), Just(LANES - 1), Just(LANES + 1), Just(100)],
        n in 0usize..300, k in 1usize..150, spread in prop_oneof![Just(0.0f32), Just(1e-6), Just(1e-3), Just(1.0)],
        scale in prop_oneof![Just(1e-30f32), Just(1e-3), Just(1.0), Just(1e15)],
    ) {
        let mut all = blobs(seed, n + k, dim, 3, spread);
        all.data_mut().iter_mut().for_each(|x| *x *= scale);
        let (centroids, rows) = (all.view().slice(0..k), all.view().slice(k..n + k));
        let found = assign(rows, centroids, Threads::ONE, &Cancel::new()).unwrap();
        let kernels = Kernels::best();
        let wanted: Vec<_> = rows.iter().map(|row| {
            let distances = (0u32..).zip(centroids.iter().map(|c| kernels.l2(row, c)));
            distances.fold(Nearest { centroid: 0, distance: f32::INFINITY }, |best, (centroid, distance)| {
                if distance < best.distance { Nearest { centroid, distance } } else { best }
            })
        }).collect();
        prop_assert_eq!(found, wanted);
    }

    /// The canonical distance has a relative error of (2n+2)·u; so has the chosen distance.
    #[test]
    fn assignments_are_as_near_as_the_oracle_finds(seed: u64, k in 1usize..40) {
        let dim = 24;
        let all = blobs(seed, 200 + k, dim, 7, 1.0);
        let (centroids, rows) = (all.view().slice(0..k), all.view().slice(k..200 + k));
        let bound = 1.0 + 2.0 * (2 * dim + 2) as f64 / (1u64 << 24) as f64;
        let found = assign(rows, centroids, Threads::ONE, &Cancel::new()).unwrap();
        for ((row, found), (_, wanted)) in rows.iter().zip(found).zip(oracle::nearest(rows, centroids)) {
            let got = oracle::l2(row, centroids.row(found.centroid as usize));
            prop_assert!(got <= wanted * bound);
        }
    }

    #[test]
    fn the_objective_is_that_of_the_oracle(seed: u64, k in 1usize..20) {
        let rows = blobs(seed, 250, 20, 10, 0.5);
        let found = fit(&KMeans { seed, ..KMeans::new(k) }, rows.view());
        let wanted = oracle::objective(rows.view(), found.centroids.view());
        // 250 distances of relative error (2·20+2)·u each; their sum in f64 adds nothing to speak of.
        prop_assert!((found.objective - wanted).abs() <= 43.0 / (1u64 << 24) as f64 * wanted);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bytes(seed: u64, k in 1usize..80) {
        let rows = blobs(seed, 1500, 33, 40, 0.7);
        let means = KMeans { seed, ..KMeans::new(k) };
        let one = fit(&means, rows.view());
        for threads in [2, 5] {
            let threads = Threads::new(threads).unwrap();
            prop_assert_eq!(&means.fit(rows.view(), threads, &Cancel::new()).unwrap(), &one);
        }
    }
}

#[test]
fn well_parted_groups_are_found() {
    let rows = blobs(3, 4000, 16, 20, 0.02);
    let found = fit(&KMeans::new(20), rows.view());
    // Uniform noise of width 0.02 has the variance 0.02² / 12 a column.
    let wanted = 4000.0 * 16.0 * 0.02f64.powi(2) / 12.0;
    assert!(found.objective < 1.05 * wanted, "{} against {wanted}", found.objective);
}

#[test]
fn more_moves_never_raise_the_objective() {
    let rows = blobs(4, 3000, 24, 100, 1.0);
    let objective = |iterations| {
        let means = KMeans { iterations, tolerance: 0.0, ..KMeans::new(30) };
        fit(&means, rows.view()).objective
    };
    let all: Vec<f64> = (0..12).map(objective).collect();
    // Means are rounded to f32, which may cost a few parts in 10⁷.
    assert!(all.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-6)), "{all:?}");
    assert!(all[11] < 0.95 * all[0], "{all:?}");
}

#[test]
fn seeding_is_better_than_random_rows() {
    // Groups of very different sizes: random rows miss the small ones.
    let big = blobs(5, 5000, 12, 2, 0.1);
    let small = blobs(6, 100, 12, 50, 0.1);
    let data = [big.view().data(), small.view().data()].concat();
    let rows = MatrixRef::new(&data, 12).unwrap();
    let seeded = fit(&KMeans { iterations: 0, ..KMeans::new(60) }, rows).objective;
    let picks = Rng::new(1, 0).sample(rows.rows(), 60);
    let random = oracle::objective(rows, rows.gather(&picks).view());
    assert!(seeded < 0.5 * random, "{seeded} against {random}");
}

#[test]
fn a_cluster_that_runs_empty_takes_the_farthest_row() {
    // Two heaps and three far rows: whatever the seeding, five clusters end with nothing left over.
    let mut data = vec![0.0f32; 50];
    data.extend([10.0; 50]);
    data.extend([100.0, 200.0, 300.0]);
    for seed in 0..20 {
        let rows = MatrixRef::new(&data, 1).unwrap();
        let found = fit(&KMeans { seed, ..KMeans::new(5) }, rows);
        assert_eq!(found.objective, 0.0, "seed {seed}: {:?}", found.centroids);
    }
}

#[test]
fn copies_of_fewer_rows_than_clusters_leave_copies_of_centroids() {
    let data = [1.0, 2.0, 3.0, 4.0].repeat(50);
    let rows = MatrixRef::new(&data, 2).unwrap();
    let found = fit(&KMeans::new(7), rows);
    assert_eq!(found.objective, 0.0);
    assert!(found.centroids.view().iter().all(|c| c == [1.0, 2.0] || c == [3.0, 4.0]));
    let assigned = assign(rows, found.centroids.view(), Threads::ONE, &Cancel::new()).unwrap();
    let mut used: Vec<_> = assigned.iter().map(|f| f.centroid).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 2, "ties go to the lower number, so copies stay empty");
}

#[test]
fn as_many_clusters_as_rows_reach_an_objective_of_zero() {
    let rows = blobs(8, 97, 5, 97, 1.0);
    assert_eq!(fit(&KMeans::new(97), rows.view()).objective, 0.0);
}

#[test]
fn what_cannot_be_clustered_is_refused_by_name() {
    let rows = blobs(9, 10, 4, 2, 1.0);
    let refuse = |means: KMeans, rows| {
        means.fit(rows, Threads::ONE, &Cancel::new()).unwrap_err().to_string()
    };
    assert!(
        refuse(KMeans::new(11), rows.view()).contains("clusters must be 1 to 10 (rows); got 11")
    );
    assert!(refuse(KMeans::new(0), rows.view()).contains("clusters must be"));
    let poor = KMeans { memory_budget: 99, ..KMeans::new(3) };
    assert!(refuse(poor, rows.view()).contains("memory_budget must be at least"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut rows = rows.clone();
        rows.row_mut(6)[3] = bad;
        let error = KMeans::new(2).fit(rows.view(), Threads::ONE, &Cancel::new()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 6, .. }));
        let error = assign(rows.view(), rows.view().slice(0..2), Threads::ONE, &Cancel::new());
        assert!(matches!(error, Err(Error::NotFinite { row: 6, what: "rows" })));
    }
    let mut long = rows.clone();
    long.row_mut(2)[0] = 1e19;
    assert!(refuse(KMeans::new(2), long.view()).contains("row 2"));
    let other = Matrix::zeros(2, 5);
    let error = assign(rows.view(), other.view(), Threads::ONE, &Cancel::new());
    assert!(matches!(error, Err(Error::Columns { want: 5, got: 4, .. })));
}

#[test]
fn a_small_budget_trains_on_fewer_rows() {
    let rows = blobs(10, 2000, 8, 10, 0.1);
    let full = fit(&KMeans::new(10), rows.view());
    assert_eq!(full.rows, 2000);
    let part = fit(&KMeans { rows_per_cluster: 20, ..KMeans::new(10) }, rows.view());
    assert_eq!(part.rows, 200);
    let poor = fit(&KMeans { memory_budget: 10_000, ..KMeans::new(10) }, rows.view());
    assert!(poor.rows * (8 * 4) <= 10_000 && poor.rows > 100, "{}", poor.rows);
    let loss = |means: &Matrix| oracle::objective(rows.view(), means.view());
    assert!(loss(&part.centroids) < 1.3 * loss(&full.centroids));
}

#[test]
fn a_cancelled_fit_returns_at_once() {
    let rows = blobs(11, 60_000, 128, 500, 1.0);
    let threads = Threads::new(2).unwrap();
    let waited = |sleep: u64| {
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let means = KMeans { iterations: 10_000, tolerance: -1.0, ..KMeans::new(1000) };
                assert!(matches!(means.fit(rows.view(), threads, &cancel), Err(Error::Cancelled)));
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(sleep));
            let asked = Instant::now();
            cancel.cancel();
            work.join().unwrap().duration_since(asked)
        })
    };
    // A few ms of work by design, in seeding as in the moves, of minutes; others may hold the processor.
    let least = [50, 300, 600, 900].map(waited).into_iter().min().unwrap();
    let prompt = Duration::from_millis(if crate::history::full() { 100 } else { 1000 });
    assert!(least < prompt, "{least:?}");
}

/// So many clusters that most moves look near by, and so many rows that the first look at few.
#[test]
fn moves_among_near_centroids_end_as_low_as_moves_among_all() {
    let rows = blobs(13, 20_000, 24, 700, 1.2);
    let means = KMeans { iterations: 20, tolerance: 0.0, ..KMeans::new(512) };
    let found = fit(&means, rows.view());
    // The objective is that of a full search, whatever the moves looked at.
    let exact = oracle::objective(rows.view(), found.centroids.view());
    assert!((found.objective - exact).abs() < 1e-4 * exact, "{} {exact}", found.objective);
    // Twenty plain moves from the same rows, by the public parts.
    let mut centroids = rows.view().gather(&(0..512).map(|i| i * 39).collect::<Vec<_>>());
    for _ in 0..20 {
        let nearest = assign(rows.view(), centroids.view(), Threads::ONE, &Cancel::new()).unwrap();
        for c in 0..512 {
            let own: Vec<_> = (0..20_000).filter(|&i| nearest[i].centroid == c as u32).collect();
            for d in 0..24 {
                let sum: f32 = own.iter().map(|&i| rows.view().row(i)[d]).sum();
                if !own.is_empty() {
                    centroids.row_mut(c)[d] = sum / own.len() as f32;
                }
            }
        }
    }
    let plain = oracle::objective(rows.view(), centroids.view());
    assert!(found.objective < 1.02 * plain, "{} {plain}", found.objective);
}

/// Not a test by itself: prints what the next one compares, under the tier of its environment.
#[test]
#[ignore = "run by the_tier_changes_no_byte, once a tier"]
fn print_bytes() {
    let rows = blobs(12, 2000, 65, 60, 0.8);
    let found = fit(&KMeans::new(50), rows.view());
    eprintln!(
        "tier {} bytes {:?}",
        Kernels::best().tier().name(),
        bits(found.centroids.view().data())
    );
}

#[test]
fn the_tier_changes_no_byte() {
    let run = |tier: &str| {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "cluster::print_bytes", "--ignored", "--nocapture"];
        let ran =
            Command::new(program).args(arguments).env("MAGNETITE_TIER", tier).output().unwrap();
        String::from_utf8(ran.stderr).unwrap()
    };
    let bytes = |output: &str| output.split("bytes ").nth(1).map(str::to_owned);
    let wanted = bytes(&run("portable")).unwrap();
    for kernels in Kernels::available() {
        let output = run(kernels.tier().name());
        assert!(output.contains(&format!("tier {} ", kernels.tier().name())), "{output}");
        assert!(bytes(&output) == Some(wanted.clone()), "{:?} differs", kernels.tier());
    }
    let unknown = run("sse9");
    assert!(unknown.contains("MAGNETITE_TIER must be one of portable"), "{unknown}");
    assert!(bytes(&unknown) == Some(wanted));
}
