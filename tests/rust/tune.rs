//! A wanted recall is reached on queries that nobody measured, at a cost close to the least.

use magnetite_core::dense::{Build, Curve, HitIds, Index, Kind, Lists, Metric, NewIds, Search};
use magnetite_core::store::Verify;
use magnetite_core::{Cancel, Matrix, MatrixRef, Threads};

use crate::dense::clustered;

const K: usize = 10;

fn index(rows: &Matrix, metric: Metric) -> Index {
    let lists = Lists { lists: Some(64), ..Lists::default() };
    let build = Build { metric, kind: Kind::Ivf(lists), ..Build::default() };
    Index::build(rows.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap()
}

fn measured(index: &Index, queries: Option<MatrixRef<'_>>, threads: Threads) -> Curve {
    index.measure(queries, K, threads, &Cancel::new()).unwrap()
}

/// Mean recall, and codes a query.
fn reached(index: &Index, queries: MatrixRef<'_>, search: &Search<'_>) -> (f64, f64) {
    let threads = Threads::ONE;
    let exact = Search { k: K, dim: Some(index.dim()), ..Search::default() };
    let wanted = index.search(queries, &exact, threads, &Cancel::new()).unwrap();
    let found = index.search(queries, search, threads, &Cancel::new()).unwrap();
    let (HitIds::Numbers(wanted), HitIds::Numbers(ids)) = (wanted.ids, found.ids) else {
        panic!("numbers")
    };
    let right = wanted.chunks(K).zip(ids.chunks(K));
    let right: usize = right.map(|(w, f)| f.iter().filter(|id| w.contains(id)).count()).sum();
    let codes: u64 = found.costs.iter().map(|cost| cost.codes).sum();
    (right as f64 / wanted.len() as f64, codes as f64 / queries.rows() as f64)
}

fn aim(target: f64) -> Search<'static> {
    Search { k: K, target_recall: Some(target), ..Search::default() }
}

fn set() -> (Matrix, Matrix, Matrix) {
    let all = clustered(4_800, 16, 600, 5);
    let part = |range: std::ops::Range<usize>| {
        Matrix::new(all.view().slice(range).data().to_vec(), 16).unwrap()
    };
    (part(0..4_000), part(4_000..4_400), part(4_400..4_800))
}

#[test]
fn a_target_is_reached_on_other_queries_for_little_more_than_the_least() {
    let (rows, ours, others) = set();
    for metric in [Metric::Dot, Metric::L2] {
        let index = index(&rows, metric);
        let index = index.with_curve(measured(&index, Some(ours.view()), Threads::ONE));
        for target in [0.8, 0.9, 0.97] {
            let (recall, codes) = reached(&index, others.view(), &aim(target));
            assert!(recall >= target - 0.01, "{metric:?} {target}: {recall}");
            let least = [1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 25, 30, 40, 50, 64]
                .into_iter()
                .flat_map(|probes| [20, 40, 100, 300].map(|rescore| (probes, rescore)))
                .map(|(probes, rescore)| Search {
                    k: K,
                    probes: Some(probes),
                    rescore: Some(rescore),
                    ..Search::default()
                })
                .map(|search| reached(&index, others.view(), &search))
                .filter(|(recall, _)| *recall >= target)
                .map(|(_, codes)| codes)
                .fold(f64::INFINITY, f64::min);
            assert!(codes <= 1.3 * least, "{metric:?} {target}: {codes} codes against {least}");
        }
    }
}

#[test]
fn a_curve_is_the_same_for_any_threads_and_grows() {
    let (rows, ours, _) = set();
    let index = index(&rows, Metric::Dot);
    for queries in [Some(ours.view()), None] {
        let one = measured(&index, queries, Threads::ONE);
        assert_eq!(one, measured(&index, queries, Threads::new(3).unwrap()));
        assert_eq!(one.stand_in, queries.is_none());
        let pairs = one.points.iter().zip(&one.points[1..]);
        assert!(pairs.clone().all(|(a, b)| a.sure < b.sure));
        assert!(one.points.iter().all(|point| point.sure < point.recall));
        assert!(one.points.len() > 5);
    }
}

#[test]
fn a_target_that_is_not_reached_is_refused_with_what_is() {
    let (rows, ours, _) = set();
    let index = index(&rows, Metric::Dot);
    let search = |index: &Index, search: &Search<'_>| {
        index.search(ours.view(), search, Threads::ONE, &Cancel::new()).map(drop)
    };
    let said = |index: &Index, s: &Search<'_>| search(index, s).unwrap_err().to_string();
    assert!(said(&index, &aim(0.9)).contains("measured for 10 results"));
    let index = index.with_curve(measured(&index, Some(ours.view()), Threads::ONE));
    assert!(said(&index, &aim(1.0)).contains("at most 0.99"));
    assert!(said(&index, &aim(1.5)).contains("above 0 and at most 1"));
    assert!(said(&index, &Search { probes: Some(3), ..aim(0.9) }).contains("the only one of"));
    assert!(said(&index, &Search { k: 11, ..aim(0.9) }).contains("measured for 11 results"));
    assert!(search(&index, &Search { k: 3, ..aim(0.9) }).is_ok());
}

#[test]
fn a_curve_is_kept_with_the_index_and_knows_when_it_is_old() {
    let (rows, ours, _) = set();
    let index = index(&rows, Metric::Dot);
    let index = index.with_curve(measured(&index, Some(ours.view()), Threads::ONE));
    let (directory, cancel) = (tempfile::tempdir().unwrap(), Cancel::new());
    index.save(directory.path(), &cancel).unwrap();
    let index = Index::open(directory.path(), Verify::Full, &cancel).unwrap();
    let curve = index.curve(K).unwrap();
    assert_eq!(*curve, measured(&index, Some(ours.view()), Threads::ONE));
    assert!(index.curve(K + 1).is_none() && !curve.is_stale());
    let gone: Vec<i64> = (0..1_200).collect();
    let index = index.delete(magnetite_core::dense::Names::Numbers(&gone)).unwrap();
    assert!(index.curve(K).unwrap().is_stale());
    let (recall, _) = reached(&index, ours.view(), &aim(0.9));
    assert!(recall >= 0.89, "{recall}");
}
