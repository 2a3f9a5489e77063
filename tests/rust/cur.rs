//! Regressions and rounds of cross-encoder search against their naive twins.

use magnetite_core::cur::{Plan, Ridge, Round, Search, Solver, Start};
use magnetite_core::dense::{self, Build, Index, Kind, Lists, NewIds, Pick, Storage};
use magnetite_core::{Cancel, Error, Matrix, Threads, oracle, rng::Rng};
use proptest::prelude::*;

/// f64, where rows of a test are exact.
const EXACT: Ridge = Ridge { relative: 0.0, noise: 0.0, tolerance: 1e-11 };

fn numbers(rng: &mut Rng, count: usize) -> Vec<f64> {
    (0..count).map(|_| 2.0 * rng.unit() - 1.0).collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(a: &[f64]) -> f64 {
    product(a, a).sqrt()
}

fn far(a: &[f64], b: &[f64]) -> f64 {
    length(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

/// Rows of every kind that makes trouble: at random, repeated, nearly repeated, sums of others, zeros,
/// of very different lengths, or with a spectrum that falls by a factor of ten a column.
fn troubled(rng: &mut Rng, count: usize, dim: usize) -> Vec<Vec<f64>> {
    rows_with(rng, count, dim, true)
}

/// The same; without `close` ones every row lies in the span of those before it or well outside.
fn rows_with(rng: &mut Rng, count: usize, dim: usize, close: bool) -> Vec<Vec<f64>> {
    let steep = close && rng.below(2) == 0;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for i in 0..count {
        let mut row = numbers(rng, dim);
        if steep {
            row.iter_mut().enumerate().for_each(|(j, x)| *x *= 10f64.powi(-(j as i32).min(4)));
        }
        match if i == 0 { 9 } else { rng.below(10) } {
            0 => row = rows[rng.below(i)].clone(),
            1 if close => {
                let other = rows[rng.below(i)].clone();
                row.iter_mut().zip(other).for_each(|(x, y)| *x = y + 1e-4 * *x);
            }
            2 => {
                let (a, b) = (&rows[rng.below(i)], &rows[rng.below(i)]);
                row = a.iter().zip(b).map(|(a, b)| 0.5 * a - 2.0 * b).collect();
            }
            3 => row.fill(0.0),
            4 => row.iter_mut().for_each(|x| *x *= 100.0),
            _ => {}
        }
        rows.push(row);
    }
    rows
}

/// What a solver says that was told the rows in blocks of `block`.
fn solved(rows: &[Vec<f64>], scores: &[f64], block: usize, ridge: Ridge) -> Vec<f64> {
    let mut solver = Solver::new(rows[0].len(), ridge);
    for (rows, scores) in rows.chunks(block).zip(scores.chunks(block)) {
        solver.append(&rows.concat(), scores);
    }
    solver.solution()
}

#[test]
fn ten_thousand_regressions_are_those_of_the_normal_equations() {
    let mut rng = Rng::new(1, 0);
    for case in 0..10_000 {
        let (count, dim, block) = (1 + rng.below(24), 1 + rng.below(12), 1 + rng.below(8));
        let rows = troubled(&mut rng, count, dim);
        let scores = numbers(&mut rng, count);
        let ridge = Ridge { relative: [1e-6, 1e-3, 0.1][rng.below(3)], noise: 0.0, ..EXACT };
        let first = &rows[..block.min(count)];
        // The first block that is not zeros says how long rows are.
        let square = |rows: &[Vec<f64>]| rows.iter().map(|row| product(row, row)).sum::<f64>();
        let mut blocks = rows.chunks(block);
        let mean = blocks.find_map(|rows| {
            let square = square(rows);
            (square > 0.0).then(|| square / rows.len() as f64)
        });
        let epsilon = ridge.relative * mean.unwrap_or(1.0);
        let wanted = oracle::ridge(&rows, &scores, dim, epsilon);
        let got = solved(&rows, &scores, block, ridge);
        // The twin squares the condition: its error is that of (‖V‖² + ε)/ε, in units of 2⁻⁵², times a
        // polynomial of low degree; here ‖V‖² ≤ Σ‖v‖². The tolerance adds 1e-11·‖V‖/√ε.
        let sum = square(&rows);
        let bound = (sum + epsilon) / epsilon * 1e-13 + 1e-9;
        let scale = length(&wanted).max(length(&scores) / epsilon.sqrt() * 1e-3);
        assert!(far(&wanted, &got) <= bound * scale, "case {case}: {first:?} {wanted:?} {got:?}");
    }
}

#[test]
fn without_a_ridge_it_is_grevilles_pseudo_inverse() {
    let mut rng = Rng::new(2, 0);
    for case in 0..2_000 {
        let (count, dim, block) = (1 + rng.below(16), 1 + rng.below(12), 1 + rng.below(8));
        // His columns as he wrote them lose all digits on rows that are nearly repeated; those are held
        // against numpy's singular values in tests/python/cur.
        let rows = rows_with(&mut rng, count, dim, false);
        let scores = numbers(&mut rng, count);
        let tolerance = 1e-6;
        let inverse = oracle::greville(&rows, tolerance);
        let mut wanted = vec![0.0; dim];
        for (row, score) in inverse.iter().zip(&scores) {
            wanted.iter_mut().zip(row).for_each(|(u, x)| *u += x * score);
        }
        let got = solved(&rows, &scores, block, Ridge { tolerance, ..EXACT });
        let norm = |rows: &[Vec<f64>]| rows.iter().map(|r| product(r, r)).sum::<f64>().sqrt();
        // His error grows with the square of the condition ‖V‖·‖V⁺‖, in units of 2⁻⁵².
        let condition = norm(&rows) * norm(&inverse);
        let bound = 1e-14 * condition * condition + 1e-10;
        let scale = (norm(&inverse) * length(&scores)).max(f64::MIN_POSITIVE);
        assert!(far(&wanted, &got) <= bound * scale, "case {case}: {condition:e}");
    }
}

#[test]
fn rows_of_rank_r_give_every_score_of_rank_r_from_r_of_them() {
    let mut rng = Rng::new(3, 0);
    for rank in [1, 2, 7, 16] {
        let (dim, count) = (40, 300);
        let mixing = numbers(&mut rng, rank * dim);
        let row = |rng: &mut Rng| {
            let along = numbers(rng, rank);
            let mut row = vec![0.0; dim];
            for (x, mixing) in along.iter().zip(mixing.chunks_exact(dim)) {
                row.iter_mut().zip(mixing).for_each(|(out, m)| *out += x * m);
            }
            row
        };
        let rows: Vec<_> = (0..count).map(|_| row(&mut rng)).collect();
        let truth = numbers(&mut rng, dim);
        let scores: Vec<_> = rows.iter().map(|row| product(row, &truth)).collect();
        // More rows than the rank: the others say nothing new, but for their rounding.
        for seen in [rank, rank + 1, 2 * rank + 5, dim + 20] {
            let mut solver = Solver::new(dim, EXACT);
            solver.append(&rows[..seen].concat(), &scores[..seen]);
            assert_eq!(solver.rank(), rank);
            let u = solver.solution();
            for (row, score) in rows.iter().zip(&scores) {
                assert!((product(row, &u) - score).abs() <= 1e-6, "rank {rank}, {seen} seen");
            }
        }
    }
}

#[test]
fn one_row_at_a_time_or_all_at_once_is_one_regression() {
    let mut rng = Rng::new(4, 0);
    let rows = troubled(&mut rng, 30, 10);
    let scores = numbers(&mut rng, 30);
    let one = solved(&rows, &scores, 1, EXACT);
    for block in [2, 7, 30] {
        let other = solved(&rows, &scores, block, EXACT);
        assert_eq!(one, other, "no ridge depends on blocks: the same bits");
    }
    let ridge = Ridge { noise: 0.01, ..EXACT };
    assert_eq!(solved(&rows, &scores, 1, ridge), solved(&rows, &scores, 30, ridge));
}

#[test]
fn nothing_but_zeros_is_regressed_on_nothing() {
    for ridge in [EXACT, Ridge::default()] {
        let mut solver = Solver::new(3, ridge);
        assert_eq!(solver.solution(), [0.0; 3]);
        solver.append(&[0.0; 6], &[1.0, 2.0]);
        assert_eq!((solver.rank(), solver.solution()), (0, vec![0.0; 3]));
        solver.append(&[0.0, 2.0, 0.0], &[1.0]);
        assert!((solver.solution()[1] - 0.5).abs() < 1e-5);
    }
}

/// Some factors, which `f32` holds, the judge's scores, and an index of the first.
struct Case {
    factors: Vec<Vec<f64>>,
    scores: Vec<Vec<f64>>,
    index: Index,
}

fn case(rng: &mut Rng, items: usize, dim: usize, queries: usize, kind: Kind) -> Case {
    let mut data: Vec<f32> = (0..items * dim).map(|_| rng.unit() as f32 - 0.5).collect();
    // Items that are the same must be told apart by their ids.
    for _ in 0..items / 4 {
        let (from, to) = (rng.below(items), rng.below(items));
        data.copy_within(from * dim..(from + 1) * dim, to * dim);
    }
    let factors: Vec<Vec<f64>> =
        data.chunks_exact(dim).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    let build = Build { kind, ..Build::default() };
    let matrix = Matrix::new(data, dim).unwrap();
    let index =
        Index::build(matrix.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap();
    // About linear in the factors, and rounded so that scores are equal now and then.
    let truth: Vec<Vec<f64>> = (0..queries).map(|_| numbers(rng, dim)).collect();
    let noise = numbers(rng, items);
    let score =
        |u: &Vec<f64>, i: usize| ((product(&factors[i], u) + 0.1 * noise[i]) * 16.0).round();
    let scores = truth.iter().map(|u| (0..items).map(|i| score(u, i)).collect()).collect();
    Case { factors, scores, index }
}

fn plan(rounds: &[usize]) -> Plan {
    let rounds = rounds.iter().map(|&items| Round { items, temperature: None }).collect();
    Plan { rounds, ridge: Ridge::default(), weight: 0.0, toward: false, seed: 7 }
}

/// Asks and tells until it is over; `see` is shown what every query was asked in every round.
fn play(
    case: &Case,
    search: &mut Search,
    filters: &dense::Search<'_>,
    mut see: impl FnMut(usize, &[usize]),
) {
    let cancel = Cancel::new();
    while let Some(asked) = search.ask(filters, Threads::ONE, &cancel).unwrap() {
        let asked: Vec<Vec<usize>> = asked.into_iter().map(<[usize]>::to_vec).collect();
        let mut told = Vec::new();
        for (query, items) in asked.iter().enumerate() {
            see(query, items);
            told.extend(items.iter().map(|&item| case.scores[query][item]));
        }
        search.tell(&told).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_round_scores_the_best_by_the_oracle_and_none_twice(
        seed: u64, items in 1usize..80, dim in 1usize..10,
        rounds in proptest::collection::vec(1usize..12, 1..5),
        filtered: bool, excluded: bool, start in 0usize..4, weight in 0usize..3,
    ) {
        let mut rng = Rng::new(seed, 0);
        let case = case(&mut rng, items, dim, 3, Kind::Flat);
        let only: Vec<bool> = (0..items).map(|_| !filtered || rng.below(2) == 0).collect();
        let except: Vec<bool> = (0..items).map(|_| excluded && rng.below(4) == 0).collect();
        let (masks, buts) = ([Pick::Mask(&only)], [Pick::Mask(&except)]);
        let filters = dense::Search { only: &masks, except: &buts, ..dense::Search::default() };
        let may = |item: usize| only[item] && !except[item];
        let allowed = (0..items).filter(|&item| may(item)).count();
        let prior: Vec<Vec<f64>> = (0..3).map(|_| numbers(&mut rng, dim)).collect();
        let mut plan = plan(&rounds);
        let (mut given, mut vectors) = (Vec::new(), Vec::new());
        if start == 1 {
            given = (0..3).map(|_| (0..5).map(|_| rng.below(items)).collect()).collect();
        } else if start > 1 {
            vectors = prior.clone();
            plan.weight = [0.0, 0.3, 1.0][weight];
            plan.toward = start == 3;
        }
        let begin = Start { items: given, vectors: vectors.clone() };
        let mut search = Search::new(&case.index, 3, &begin, plan.clone(), &filters).unwrap();
        let mut seen: Vec<Vec<(usize, f64)>> = vec![Vec::new(); 3];
        let mut epsilon = [None; 3];
        play(&case, &mut search, &filters, |query, asked| {
            let zeros = vec![0.0; dim];
            let known = vectors.get(query).unwrap_or(&zeros);
            let chosen = !seen[query].is_empty() || start > 1;
            let told = oracle::cur_round(
                &case.factors, &seen[query], known, plan.toward,
                if seen[query].is_empty() { 1.0 } else { plan.weight }, epsilon[query].unwrap_or(1.0),
            );
            if seen[query].is_empty() && !asked.is_empty() {
                let square: f64 =
                    asked.iter().map(|&i| product(&case.factors[i], &case.factors[i])).sum();
                epsilon[query] = Some(1e-6 * (square / asked.len() as f64).max(1e-30));
            }
            let new = |item: &usize| seen[query].iter().all(|(old, _)| old != item);
            assert!(asked.iter().all(|item| may(*item) && new(item)), "allowed, and never twice");
            let mut rest: Vec<usize> = (0..items).filter(|i| may(*i) && new(i)).collect();
            rest.retain(|item| !asked.contains(item));
            // A pick may lie below another row by the rounding of f32 products alone.
            let bound = 1e-5 * length(&told.vector) * dim as f64;
            let lowest = asked.iter().map(|&i| told.estimates[i]).fold(f64::INFINITY, f64::min);
            let highest = rest.iter().map(|&i| told.estimates[i]).fold(f64::NEG_INFINITY, f64::max);
            assert!(!chosen || asked.is_empty() || lowest >= highest - bound);
            for pair in asked.windows(2).filter(|_| chosen) {
                if case.factors[pair[0]] == case.factors[pair[1]] {
                    assert!(pair[0] < pair[1], "equals by id");
                }
            }
            seen[query].extend(asked.iter().map(|&item| (item, case.scores[query][item])));
        });
        let budget: usize = rounds.iter().sum();
        let best = search.best(4, Threads::ONE, &Cancel::new()).unwrap();
        for (seen, best) in seen.iter_mut().zip(best) {
            prop_assert_eq!(seen.len(), budget.min(allowed), "the budget, to the call");
            seen.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
            let wanted: Vec<_> = seen.iter().take(4).map(|&(item, _)| item).collect();
            prop_assert_eq!(best.items, wanted);
        }
    }

    #[test]
    fn a_query_alone_and_among_others_is_searched_alike(seed: u64, draws: bool) {
        let mut rng = Rng::new(seed, 0);
        let lists = Kind::Ivf(Lists { lists: Some(8), parts: Some(4) });
        let case = case(&mut rng, 400, 8, 4, lists);
        let mut plan = plan(&[10, 10, 10]);
        plan.rounds.iter_mut().for_each(|round| round.temperature = draws.then_some(0.5));
        let filters = dense::Search { probes: Some(3), ..dense::Search::default() };
        let mut together = vec![Vec::new(); 4];
        let mut search = Search::new(&case.index, 4, &Start::default(), plan.clone(), &filters).unwrap();
        play(&case, &mut search, &filters, |query, asked| together[query].extend(asked.to_vec()));
        for (query, together) in together.iter().enumerate() {
            let alone = Case {
                factors: case.factors.clone(),
                scores: vec![case.scores[query].clone()],
                index: case.index.clone(),
            };
            let mut search =
                Search::new(&alone.index, 1, &Start::default(), plan.clone(), &filters).unwrap();
            let mut own = Vec::new();
            play(&alone, &mut search, &filters, |_, asked| own.extend(asked.to_vec()));
            prop_assert_eq!(&own, together);
        }
    }
}

#[test]
fn draws_follow_the_softmax_of_the_estimates() {
    // One factor, known from the first item; the second round draws one of three.
    let data = vec![1.0f32, 0.0, 1.0, 2.0];
    let matrix = Matrix::new(data, 1).unwrap();
    let build = Build::default();
    let index =
        Index::build(matrix.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new()).unwrap();
    let (mut drawn, draws, temperature) = ([0.0; 4], 4000, 2.0);
    for seed in 0..draws {
        let mut plan = plan(&[1, 1]);
        plan.rounds[1].temperature = Some(temperature);
        plan.seed = seed;
        let start = Start { items: vec![vec![0]], ..Start::default() };
        let filters = dense::Search::default();
        let mut search = Search::new(&index, 1, &start, plan, &filters).unwrap();
        let cancel = Cancel::new();
        search.ask(&filters, Threads::ONE, &cancel).unwrap().unwrap();
        search.tell(&[1.0]).unwrap();
        let asked = search.ask(&filters, Threads::ONE, &cancel).unwrap().unwrap();
        drawn[asked[0][0]] += 1.0 / draws as f64;
    }
    let weights = [0.0f64, 1.0, 2.0].map(|score| (score / temperature).exp());
    for (drawn, weight) in drawn[1..].iter().zip(weights) {
        let wanted = weight / weights.iter().sum::<f64>();
        // Four standard deviations.
        let bound = 4.0 * (wanted * (1.0 - wanted) / draws as f64).sqrt();
        assert!((drawn - wanted).abs() <= bound, "{drawn} {wanted}");
    }
}

#[test]
fn rows_kept_shorter_are_regressed_on_as_they_are_kept() {
    let mut rng = Rng::new(9, 0);
    let data: Vec<f32> = (0..200 * 6).map(|_| rng.unit() as f32 - 0.5).collect();
    let matrix = Matrix::new(data, 6).unwrap();
    for storage in [Storage::F32, Storage::F16, Storage::Int8] {
        let build = Build { storage, ..Build::default() };
        let index = Index::build(matrix.view(), NewIds::Rows, &build, Threads::ONE, &Cancel::new())
            .unwrap();
        let names: Vec<i64> = (0..200).collect();
        let kept = index.get(dense::Names::Numbers(&names)).unwrap();
        let truth = numbers(&mut rng, 6);
        let scores: Vec<f64> = kept
            .view()
            .iter()
            .map(|row| row.iter().zip(&truth).map(|(&x, u)| f64::from(x) * u).sum())
            .collect();
        let mut plan = plan(&[12, 12]);
        plan.ridge = Ridge::of(0.0, 0.0, storage);
        let filters = dense::Search::default();
        let mut search = Search::new(&index, 1, &Start::default(), plan, &filters).unwrap();
        let cancel = Cancel::new();
        while let Some(asked) = search.ask(&filters, Threads::ONE, &cancel).unwrap() {
            let told: Vec<f64> = asked[0].iter().map(|&item| scores[item]).collect();
            search.tell(&told).unwrap();
        }
        let u = &search.vectors(Threads::ONE, &cancel).unwrap()[0];
        assert!(far(u, &truth) <= 1e-9 * length(&truth), "{storage:?}");
        // So the second round found the best there are.
        let mut order: Vec<usize> = (0..200).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        let best = search.best(12, Threads::ONE, &cancel).unwrap().remove(0);
        assert_eq!(best.items, order[..12]);
        let rest = search.rest(5, &filters, Threads::ONE, &cancel).unwrap().remove(0);
        assert_eq!(rest.len(), 5);
        for item in rest {
            let wanted = scores[item.id as usize];
            assert!((f64::from(item.score) - wanted).abs() <= 1e-5);
        }
    }
}

#[test]
fn bad_plans_starts_and_scores_are_refused_by_name() {
    let mut rng = Rng::new(5, 0);
    let case = case(&mut rng, 20, 3, 2, Kind::Flat);
    let filters = dense::Search::default();
    let new = |start: &Start, plan: Plan| Search::new(&case.index, 2, start, plan, &filters);
    let said = |error: Error| error.to_string();
    let none = Start::default();
    assert!(said(new(&none, plan(&[])).unwrap_err()).starts_with("rounds must be"));
    assert!(said(new(&none, plan(&[3, 0])).unwrap_err()).starts_with("rounds must be"));
    let heavy = Plan { weight: 1.5, ..plan(&[3]) };
    assert!(said(new(&none, heavy).unwrap_err()).starts_with("regularize must be"));
    let cold = Plan { rounds: vec![Round { items: 1, temperature: Some(0.0) }], ..plan(&[1]) };
    assert!(said(new(&none, cold).unwrap_err()).starts_with("temperature must be"));
    let ridge = Ridge { relative: f64::NAN, ..Ridge::default() };
    let bad = Plan { ridge, ..plan(&[1]) };
    assert!(said(new(&none, bad).unwrap_err()).starts_with("ridge must be"));
    let one = Start { items: vec![vec![1]], ..Start::default() };
    assert!(said(new(&one, plan(&[3])).unwrap_err()).starts_with("init must have 2"));
    let narrow = Start { vectors: vec![vec![0.0; 2]; 2], ..Start::default() };
    assert!(said(new(&narrow, plan(&[3])).unwrap_err()).starts_with("vectors must have 3"));
    let mut search = new(&none, plan(&[3])).unwrap();
    search.ask(&filters, Threads::ONE, &Cancel::new()).unwrap();
    assert!(said(search.tell(&[0.0; 5]).unwrap_err()).starts_with("scores must have 6"));
    let nan = [0.0, 0.0, f64::NAN, 0.0, 0.0, 0.0];
    assert!(said(search.tell(&nan).unwrap_err()).contains("row 2"));
    search.tell(&[0.0; 6]).unwrap();
}
