//! matrix, rng, top-k, threads, cancel.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use magnetite_core::topk::{Scored, TopK};
use magnetite_core::{Cancel, Error, MatrixRef, Threads, rng::Rng};
use proptest::prelude::*;

fn scores() -> impl Strategy<Value = Vec<f32>> {
    // Few different values, so that ties are common; NaN and both zeros and infinities among them.
    let value = prop_oneof![
        (-3i8..3).prop_map(f32::from),
        Just(f32::NAN),
        Just(-0.0),
        Just(f32::INFINITY),
        Just(f32::NEG_INFINITY),
    ];
    prop::collection::vec(value, 0..200)
}

proptest! {
    #[test]
    fn topk_equals_a_full_sort(scores in scores(), k in 0usize..20) {
        let mut best = TopK::new(k);
        for (id, &score) in scores.iter().enumerate() {
            best.push(score, id as u64);
        }
        let mut wanted: Vec<(f32, u64)> =
            scores.iter().zip(0..).filter(|(s, _)| !s.is_nan()).map(|(&s, i)| (s, i)).collect();
        wanted.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
        wanted.truncate(k);
        let got: Vec<(f32, u64)> = best.into_sorted().iter().map(|s| (s.score, s.id)).collect();
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn blocks_come_in_order_for_any_number_of_threads(n in 0usize..100, block in 1usize..20) {
        let cancel = Cancel::new();
        let wanted: Vec<_> = (0..n.div_ceil(block)).map(|i| i * block..((i + 1) * block).min(n)).collect();
        for threads in [1, 2, 5] {
            let got = Threads::new(threads).unwrap().blocks(n, block, &cancel, Ok).unwrap();
            prop_assert_eq!(&got, &wanted);
        }
    }

    #[test]
    fn streams_give_every_item_once_in_order_though_each_is_done_after_the_next_is_begun(
        cuts in prop::collection::vec(0usize..9, 0..30),
    ) {
        let mut blocks = Vec::new();
        for cut in cuts {
            let at = blocks.last().map_or(0, |block: &std::ops::Range<usize>| block.end);
            blocks.push(at..at + cut);
        }
        let count = blocks.last().map_or(0, |block| block.end);
        for threads in [1, 2, 5] {
            let threads = Threads::new(threads).unwrap();
            let got = threads.streams(&blocks, &Cancel::new(), |taken| {
                let (mut begun, mut done) = (None, Vec::new());
                for i in taken.flatten() {
                    done.extend(begun.replace((i, 3 * i)));
                }
                done.extend(begun);
                Ok(done)
            });
            prop_assert_eq!(got.unwrap(), (0..count).map(|i| 3 * i).collect::<Vec<_>>());
            let refused = threads.streams(&blocks, &Cancel::new(), |taken| match taken.count() {
                0 => Ok(Vec::<(usize, ())>::new()),
                _ => Err(Error::Cancelled),
            });
            prop_assert_eq!(refused.is_err(), !blocks.is_empty());
        }
    }

    #[test]
    fn a_sample_holds_k_different_numbers_below_n(seed: u64, n in 0usize..200, part in 0.0..=1.0) {
        let k = (n as f64 * part) as usize;
        let picks = Rng::new(seed, 0).sample(n, k);
        prop_assert_eq!(picks.len(), k);
        prop_assert!(picks.windows(2).all(|w| w[0] < w[1]));
        prop_assert!(picks.iter().all(|&p| p < n));
    }
}

#[test]
fn ties_go_to_the_lower_id_whatever_the_order_of_arrival() {
    for ids in [[3, 1, 2], [1, 2, 3], [2, 3, 1]] {
        let mut best = TopK::new(2);
        ids.into_iter().for_each(|id| best.push(1.0, id));
        let got: Vec<u64> = best.into_sorted().iter().map(|s: &Scored| s.id).collect();
        assert_eq!(got, [1, 2]);
    }
}

#[test]
fn every_number_below_n_is_drawn_about_as_often() {
    let mut rng = Rng::new(7, 0);
    let mut counts = [0u32; 10];
    (0..100_000).for_each(|_| counts[rng.below(10)] += 1);
    // Binomial: mean 10,000, standard deviation 95; six of them.
    assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 570), "{counts:?}");
}

#[test]
fn streams_of_one_seed_differ_and_repeat() {
    let draw = |stream| Rng::new(1, stream).bits();
    assert_ne!(draw(0), draw(1));
    assert_eq!(draw(1), draw(1));
}

#[test]
fn the_first_row_with_a_nan_or_infinity_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let data = [1.0, 2.0, f32::MAX, f32::MAX, 3.0, bad];
        let rows = MatrixRef::new(&data, 2).unwrap();
        assert!(matches!(rows.expect_finite("x"), Err(Error::NotFinite { row: 2, .. })));
        assert!(rows.slice(0..2).expect_finite("x").is_ok());
    }
}

#[test]
fn ragged_rows_and_zero_columns_are_refused() {
    assert!(matches!(MatrixRef::new(&[1.0; 5], 2), Err(Error::Length { want: 6, got: 5, .. })));
    assert!(matches!(MatrixRef::new(&[], 0), Err(Error::Range { .. })));
}

#[test]
fn a_cancelled_call_stops_between_blocks() {
    let cancel = Cancel::new();
    for threads in [1, 2] {
        let stopped = Threads::new(threads).unwrap().blocks(1000, 1, &cancel, |range| {
            if range.start == 10 {
                cancel.cancel();
            }
            Ok(())
        });
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}

#[test]
fn chunks_are_written_once_each_for_any_number_of_threads() {
    for threads in [1, 2, 3] {
        let mut data = vec![0u32; 3 * 100];
        let threads = Threads::new(threads).unwrap();
        let number = |first: usize, chunk: &mut [u32]| {
            chunk.chunks_mut(3).zip(first..).for_each(|(item, i)| item.fill(i as u32));
            Ok(())
        };
        threads.chunks_mut(&mut data, 3, 7, &Cancel::new(), number).unwrap();
        assert!(data.chunks(3).zip(0..).all(|(item, i)| item == [i; 3]));
    }
}

#[test]
fn whoever_waits_for_others_asks_whether_to_stop() {
    // The caller's share is over at once, the other's ends only when the call is cancelled.
    let (caller, asked) = (std::thread::current().id(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let cancel = Cancel::asking(move || {
        assert_eq!(std::thread::current().id(), caller);
        count.fetch_add(1, Ordering::Relaxed) == 2
    });
    let both = Barrier::new(2);
    let stopped = Threads::new(2).unwrap().blocks(2, 1, &cancel, |_| {
        both.wait();
        while std::thread::current().id() != caller {
            cancel.check()?;
            std::thread::yield_now();
        }
        Ok(())
    });
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert!(matches!(cancel.check(), Err(Error::Cancelled)));
}

#[test]
fn a_panic_on_any_thread_reaches_the_caller() {
    let caller = std::thread::current().id();
    for elsewhere in [false, true] {
        let both = Barrier::new(2);
        let run = || {
            Threads::new(2).unwrap().blocks(2, 1, &Cancel::new(), |_| {
                both.wait();
                assert!(elsewhere == (std::thread::current().id() == caller), "as wanted");
                Ok(())
            })
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
}
