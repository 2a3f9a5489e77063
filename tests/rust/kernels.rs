//! Every tier against the portable one, bit for bit, and against the oracle within derived bounds.

use magnetite_core::kernels::{
    self, BLOCK, Columns, GROUP, Heights, Kernels, LANES, MOST_ENTRY, MOST_OUTLINED, OUTLINED,
    Outline, SHORT, Tier,
};
use magnetite_core::{MatrixRef, oracle, rng::Rng};
use proptest::prelude::*;

/// Unit roundoff of f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// No numbers, one; around one and two blocks of lanes; a usual dim; a long odd one.
const SIZES: [usize; 10] =
    [0, 1, LANES - 1, LANES, LANES + 1, 2 * LANES - 1, 2 * LANES, 384, 385, 1023];

fn portable() -> Kernels {
    Kernels::available().next().unwrap()
}

/// Numbers of very different sizes and both signs, no two alike: a changed order changes the bits.
fn numbers(rng: &mut Rng, n: usize) -> Vec<f32> {
    let scale = |rng: &mut Rng| 2f32.powi(rng.below(24) as i32 - 12);
    (0..n).map(|_| (rng.unit() as f32 - 0.5) * scale(rng)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_portable_tier_is_always_there_and_comes_first() {
    let tiers: Vec<_> = Kernels::available().map(Kernels::tier).collect();
    assert_eq!(tiers[0], Tier::Portable);
    for tier in Tier::ALL.into_iter().filter(|tier| !tiers.contains(tier)) {
        eprintln!("SKIPPED: this CPU lacks the tier {}", tier.name());
    }
}

#[test]
fn every_tier_returns_the_same_bits_at_every_size_and_alignment() {
    let mut rng = Rng::new(1, 0);
    for n in SIZES {
        for (shift_a, shift_b) in [(0, 0), (1, 0), (0, 3), (5, 7), (13, 2)] {
            let (a, b) = (numbers(&mut rng, n + shift_a), numbers(&mut rng, n + shift_b));
            let (a, b) = (&a[shift_a..], &b[shift_b..]);
            let mut wanted_y = b.to_vec();
            portable().axpy(0.3, a, &mut wanted_y);
            for kernels in Kernels::available() {
                let tier = kernels.tier();
                assert_eq!(
                    kernels.dot(a, b).to_bits(),
                    portable().dot(a, b).to_bits(),
                    "{tier:?} {n}"
                );
                assert_eq!(
                    kernels.l2(a, b).to_bits(),
                    portable().l2(a, b).to_bits(),
                    "{tier:?} {n}"
                );
                let mut y = b.to_vec();
                kernels.axpy(0.3, a, &mut y);
                assert_eq!(bits(&y), bits(&wanted_y), "{tier:?} {n}");
            }
        }
    }
}

#[test]
fn the_order_of_additions_is_the_one_written_down() {
    // LANES columns, folded in halves, by index arithmetic of its own.
    let mut rng = Rng::new(2, 0);
    for n in SIZES {
        let (a, b) = (numbers(&mut rng, n), numbers(&mut rng, n));
        let mut columns = [0.0f32; LANES];
        for i in 0..n {
            columns[i % LANES] += a[i] * b[i];
        }
        fn fold(x: &[f32]) -> f32 {
            match x {
                [one] => *one,
                _ => {
                    let (low, high) = x.split_at(x.len() / 2);
                    fold(&low.iter().zip(high).map(|(a, b)| a + b).collect::<Vec<_>>())
                }
            }
        }
        for kernels in Kernels::available() {
            assert_eq!(kernels.dot(&a, &b).to_bits(), fold(&columns).to_bits(), "{n}");
        }
    }
}

#[test]
fn extremes_pass_through_every_tier_alike() {
    let odd = [f32::MAX, f32::MIN_POSITIVE, -0.0, f32::INFINITY, 1e-45, -f32::MAX, 1.0];
    for at in 0..LANES + 3 {
        for x in odd {
            let mut a = vec![1.0; LANES + 3];
            a[at] = x;
            for kernels in Kernels::available() {
                assert_eq!(kernels.dot(&a, &a).to_bits(), portable().dot(&a, &a).to_bits());
                let b = vec![2.0; LANES + 3];
                assert_eq!(kernels.l2(&a, &b).to_bits(), portable().l2(&a, &b).to_bits());
                a[at] = f32::NAN;
                assert!(kernels.dot(&a, &b).is_nan() && kernels.l2(&a, &b).is_nan());
                a[at] = x;
            }
        }
    }
}

fn pairs() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (any::<u64>(), 0..3 * LANES).prop_map(|(seed, n)| {
        let mut rng = Rng::new(seed, 0);
        (numbers(&mut rng, n), numbers(&mut rng, n))
    })
}

/// A query and some rows of its length.
fn blocks() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (any::<u64>(), 1..2 * LANES, 0usize..20).prop_map(|(seed, dim, rows)| {
        let mut rng = Rng::new(seed, 0);
        (numbers(&mut rng, dim), numbers(&mut rng, dim * rows))
    })
}

proptest! {
    #[test]
    fn dot_is_within_its_bound_of_the_oracle((a, b) in pairs()) {
        let bound = (2 * a.len()).saturating_sub(1) as f64 * U * oracle::dot_of_sizes(&a, &b);
        for kernels in Kernels::available() {
            prop_assert!((f64::from(kernels.dot(&a, &b)) - oracle::dot(&a, &b)).abs() <= bound);
        }
    }

    #[test]
    fn l2_is_within_its_bound_of_the_oracle((a, b) in pairs()) {
        let wanted = oracle::l2(&a, &b);
        let bound = (2 * a.len() + 2) as f64 * U * wanted;
        for kernels in Kernels::available() {
            prop_assert!((f64::from(kernels.l2(&a, &b)) - wanted).abs() <= bound);
        }
    }

    #[test]
    fn axpy_is_within_two_roundings_of_the_oracle((x, y) in pairs(), alpha in -2.0f32..2.0) {
        let wanted = oracle::axpy(alpha, &x, &y);
        let mut got = y.clone();
        Kernels::best().axpy(alpha, &x, &mut got);
        for i in 0..x.len() {
            let product = (f64::from(alpha) * f64::from(x[i])).abs();
            prop_assert!((f64::from(got[i]) - wanted[i]).abs() <= U * (product + wanted[i].abs()) * 1.01);
        }
    }

    #[test]
    fn bytes_add_like_the_floats_that_they_are(
        (x, y) in pairs(),
        bytes in prop::collection::vec(any::<i8>(), 1024),
        alpha in -2.0f32..2.0,
    ) {
        let bytes = &bytes[..x.len()];
        let floats: Vec<f32> = bytes.iter().map(|&x| f32::from(x)).collect();
        let mut wanted = y.clone();
        portable().axpy(alpha, &floats, &mut wanted);
        for kernels in Kernels::available() {
            let mut got = y.clone();
            kernels.axpy_i8(alpha, bytes, &mut got);
            prop_assert_eq!(bits(&got), bits(&wanted));
        }
    }

    #[test]
    fn rows_sum_up_as_if_added_one_by_one(
        // Around a block of columns, a usual dim, an odd one.
        dim in prop::sample::select(vec![1, 63, 64, 65, 256, 301]),
        bytes in prop::collection::vec(any::<i8>(), 7 * 301),
        rows in prop::collection::vec((0u32..7, -2.0f32..2.0), 0..20),
    ) {
        let mut wanted = vec![0.0; dim];
        for &(row, factor) in &rows {
            portable().axpy_i8(factor, &bytes[row as usize * dim..][..dim], &mut wanted);
        }
        for kernels in Kernels::available() {
            let mut got = vec![f32::NAN; dim];
            kernels.sum_rows_i8(&bytes[..7 * dim], &rows, &mut got);
            prop_assert_eq!(bits(&got), bits(&wanted));
        }
    }

    #[test]
    fn a_block_of_rows_gets_the_bits_of_one_row_at_a_time((query, data) in blocks()) {
        let rows = MatrixRef::new(&data, query.len()).unwrap();
        for kernels in Kernels::available() {
            let mut out = vec![f32::NAN; rows.rows()];
            kernels.dots(&query, rows, &mut out);
            let wanted: Vec<_> = rows.iter().map(|row| portable().dot(&query, row)).collect();
            prop_assert_eq!(bits(&out), bits(&wanted));
            kernels.l2s(&query, rows, &mut out);
            let wanted: Vec<_> = rows.iter().map(|row| portable().l2(&query, row)).collect();
            prop_assert_eq!(bits(&out), bits(&wanted));
        }
    }

    #[test]
    fn shorter_rows_get_the_bits_of_the_numbers_that_they_stand_for(
        seed: u64, dim in 1usize..3 * LANES, rows in 0usize..9,
    ) {
        let mut rng = Rng::new(seed, 0);
        let query = numbers(&mut rng, dim);
        let halves: Vec<u16> = (0..dim * rows).map(|_| rng.bits() as u16).collect();
        let bytes: Vec<i8> = (0..dim * rows).map(|_| rng.bits() as i8).collect();
        let scales = numbers(&mut rng, rows);
        let of_halves: Vec<_> = halves.iter().map(|&bits| kernels::half(bits)).collect();
        let of_bytes: Vec<_> = (0..dim * rows)
            .map(|i| scales[i / dim] * f32::from(bytes[i])).collect();
        let wanted = |data: &[f32], score: fn(Kernels, &[f32], &[f32]) -> f32| {
            data.chunks(dim).map(|row| score(portable(), &query, row).to_bits()).collect::<Vec<_>>()
        };
        let mut out = vec![f32::NAN; rows];
        for kernels in Kernels::available() {
            kernels.dots_f16(&query, &halves, &mut out);
            prop_assert_eq!(bits(&out), wanted(&of_halves, Kernels::dot));
            kernels.l2s_f16(&query, &halves, &mut out);
            prop_assert_eq!(bits(&out), wanted(&of_halves, Kernels::l2));
            kernels.dots_i8(&query, &bytes, &scales, &mut out);
            prop_assert_eq!(bits(&out), wanted(&of_bytes, Kernels::dot));
            kernels.l2s_i8(&query, &bytes, &scales, &mut out);
            prop_assert_eq!(bits(&out), wanted(&of_bytes, Kernels::l2));
        }
    }

    /// Both sides of each width that is stored, and of a block of 16 vectors; few values, so that many
    /// distances tie.
    #[test]
    fn the_nearest_of_short_vectors_is_that_of_one_distance_at_a_time(
        seed: u64, dim in 1usize..=SHORT, rows in 0usize..50, book in 1usize..40, coarse: bool,
    ) {
        let mut rng = Rng::new(seed, 0);
        let mut noise = |n: usize| -> Vec<f32> {
            let whole = |rng: &mut Rng| rng.below(3) as f32;
            (0..n).map(|_| if coarse { whole(&mut rng) } else { rng.unit() as f32 - 0.5 }).collect()
        };
        let (data, book) = (noise(dim * rows), noise(dim * book));
        let (rows, vectors) = (MatrixRef::new(&data, dim).unwrap(), MatrixRef::new(&book, dim).unwrap());
        let width = dim.next_power_of_two();
        let columns = Columns::of_width(rows.iter(), width).unwrap();
        let filled = |vector: &[f32]| [vector, &[0.0; SHORT][dim..width]].concat();
        let book: Vec<f32> = vectors.iter().flat_map(filled).collect();
        let nearest = |row: &[f32]| {
            let distances = (0u32..).zip(vectors.iter()).map(|(i, vector)| (i, portable().l2(row, vector)));
            distances.reduce(|best, next| if next.1 < best.1 { next } else { best }).unwrap()
        };
        let (wanted, least): (Vec<_>, Vec<_>) = rows.iter().map(nearest).unzip();
        for kernels in Kernels::available() {
            let (mut numbers, mut distances) = (vec![7; 3], vec![7.0; 90]);
            kernels.nearest_short(&columns, &book, &mut numbers, &mut distances);
            prop_assert_eq!(&numbers, &wanted, "{:?}", kernels.tier());
            prop_assert_eq!(bits(&distances), bits(&least));
        }
    }

    #[test]
    fn integer_dot_products_equal_the_oracle_on_every_tier(
        seed: u64, queries in 1usize..=17, dim in 1usize..3 * LANES, rows in 0usize..11,
    ) {
        let mut rng = Rng::new(seed, 0);
        let bytes: Vec<i8> = (0..rows * dim).map(|_| rng.bits() as i8).collect();
        let width = kernels::padded(dim);
        let numbers: Vec<i16> = (0..queries * width)
            .map(|i| if i % width < dim { rng.bits() as i16 } else { 0 }).collect();
        let sum = |i: usize, j: usize| {
            let products = (0..dim)
                .map(|d| i64::from(numbers[i * width + d]) * i64::from(bytes[j * dim + d]));
            products.sum::<i64>() as i32
        };
        let wanted: Vec<_> = (0..queries * rows).map(|i| sum(i / rows, i % rows)).collect();
        for kernels in Kernels::available() {
            let mut out = vec![7; queries * rows];
            kernels.dots_i16(&numbers, &bytes, dim, &mut out);
            prop_assert_eq!(&out, &wanted, "{:?}", kernels.tier());
        }
    }

    #[test]
    fn dot_products_with_outlines_are_those_of_quarters_on_every_tier(
        dim in 1usize..200, rows in 0usize..40, queries in 1usize..=17, seed: u64,
    ) {
        let mut rng = Rng::new(seed, 0);
        let bytes: Vec<i8> = (0..rows * dim).map(|_| rng.bits() as i8).collect();
        let width = kernels::padded(dim);
        let most = MOST_OUTLINED as usize;
        let numbers: Vec<i8> = (0..queries * width)
            .map(|i| if i % width < dim { rng.below(2 * most + 1) as i8 - MOST_OUTLINED } else { 0 })
            .collect();
        let quarter = |c: i8| (f64::from(c) / 4.0 + 0.5).floor() as i32;
        let sum = |i: usize, j: usize| -> i32 {
            (0..dim).map(|d| i32::from(numbers[i * width + d]) * quarter(bytes[j * dim + d])).sum()
        };
        let beyond = |c: i8| (i32::from(c) - 4 * quarter(c)).pow(2);
        let wanted: Vec<_> = (0..queries * rows).map(|i| sum(i / rows, i % rows)).collect();
        let left: Vec<i32> =
            bytes.chunks(dim).map(|row| row.iter().map(|c| beyond(*c)).sum()).collect();
        for kernels in Kernels::available() {
            // Filled twice: what was there before is not read.
            let mut outline = Outline::default();
            kernels.outline(&vec![-7; 90 * 33], 33, &mut outline);
            kernels.outline(&bytes, dim, &mut outline);
            prop_assert_eq!(outline.left(), &left);
            let mut out = vec![7; queries * outline.padded_rows()];
            kernels.outline_dots(&numbers, &outline, &mut out);
            let found = out.chunks(outline.padded_rows().max(1)).flat_map(|out| &out[..rows]);
            prop_assert_eq!(found.copied().collect::<Vec<_>>(), &wanted[..], "{:?}", kernels.tier());
        }
    }

    #[test]
    fn heights_that_reach_the_level_are_found_on_every_tier(
        sums in prop::collection::vec(-9i32..9, 0..3 * LANES), level in -12i8..12, seed: u64,
    ) {
        let mut rng = Rng::new(seed, 0);
        let mut whole = |n: usize| (0..n).map(|_| rng.below(4) as f32).collect::<Vec<_>>();
        let (scales, rests, halves) = (whole(sums.len()), whole(sums.len()), whole(sums.len()));
        let (level, step, reach) = (f32::from(level), 2.0, 0.5);
        let wanted: Vec<_> = (0..sums.len())
            .filter(|&i| sums[i] as f32 * scales[i] * step + rests[i] * reach - halves[i] >= level)
            .map(|i| i as u32).collect();
        let heights =
            Heights { sums: &sums, scales: &scales, rests: &rests, halves: &halves, step, reach, level };
        for kernels in Kernels::available() {
            let mut found = Vec::new();
            kernels.reaching(&heights, &mut found);
            prop_assert_eq!(&found, &wanted);
            let sure = |i: usize| sums[i] as f32 * scales[i] * step - halves[i] - rests[i] * reach;
            let surest = (0..sums.len()).map(sure).fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(kernels.surest(&heights), surest);
            // Small whole numbers, so that no order of operations rounds.
            let top = |i: usize| sums[i] as f32 * scales[i] * step - halves[i] + rests[i] * reach;
            let tops: Vec<_> = (0..sums.len()).map(top).collect();
            let mut got = vec![f32::NAN; sums.len()];
            let extent = [f32::min, f32::max].map(|f| tops.iter().copied().reduce(f));
            let none = [f32::INFINITY, f32::NEG_INFINITY];
            let [low, high] = kernels.tops(&heights, &mut got);
            prop_assert_eq!(&got, &tops);
            prop_assert_eq!([low, high], [extent[0].unwrap_or(none[0]), extent[1].unwrap_or(none[1])]);
            prop_assert_eq!(kernels.count_from(&tops, level), wanted.len());
            found.truncate(1);
            kernels.places_from(&tops, level, &mut found);
            prop_assert_eq!(&found[wanted.len().min(1)..], &wanted[..]);
        }
    }

    #[test]
    fn scans_equal_the_oracle_on_every_tier(
        seed: u64, parts in 1usize..70, blocks in 0usize..6, least in 0u16..2_000,
    ) {
        let mut rng = Rng::new(seed, 0);
        let most = MOST_ENTRY as usize + 1;
        let tables: Vec<u8> = (0..16 * parts).map(|_| rng.below(most) as u8).collect();
        let codes: Vec<u8> = (0..blocks * BLOCK * parts).map(|_| rng.below(16) as u8).collect();
        let wanted: Vec<_> = oracle::scan(&tables, &codes, parts).iter().map(|s| *s as u16).collect();
        let passing: Vec<_> = (0u32..).zip(wanted.iter().copied()).filter(|(_, s)| *s >= least).collect();
        let (tables, packed) = (whole_groups(&tables), interleave(&codes, parts));
        for kernels in Kernels::available() {
            let mut out = vec![7; blocks * BLOCK];
            kernels.scan(&tables, &packed, &mut out);
            prop_assert_eq!(&out, &wanted);
            let mut found = vec![(9, 9)];
            kernels.scan_from(&tables, &packed, least, &mut found);
            prop_assert_eq!(&found[1..], &passing[..]);
        }
    }

    #[test]
    fn tables_of_all_parts_have_the_bits_of_each_product_alone(
        seed: u64, parts in 1usize..20, width in 0u32..5, sixteens in 1usize..3, zeros: bool,
    ) {
        let (mut rng, width, centroids) = (Rng::new(seed, 0), 2usize.pow(width), 16 * sixteens);
        let mut numbers = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.unit() as f32 - 0.5).collect() };
        let (mut query, books) = (numbers(parts * width), numbers(parts * centroids * width));
        if zeros {
            query.iter_mut().for_each(|x| *x = -0.0);   // all products are zeros, most of them -0
        }
        let rows = MatrixRef::new(&books, width).unwrap();
        let book = |part: usize| rows.slice(part * centroids..(part + 1) * centroids);
        let columns: Vec<f32> =
            (0..parts).flat_map(|p| Columns::of_width(book(p).iter(), width).unwrap().blocks().to_vec()).collect();
        let each = |one: fn(Kernels, &[f32], &[f32]) -> f32| -> Vec<f32> {
            let part = |p: usize| &query[p * width..(p + 1) * width];
            (0..parts * centroids).map(|i| one(portable(), part(i / centroids), rows.row(i))).collect()
        };
        for kernels in Kernels::available() {
            let mut out = vec![7.0; parts * centroids];
            kernels.part_dots(&query, width, &columns, &mut out);
            prop_assert_eq!(bits(&out), bits(&each(Kernels::dot)));
            kernels.part_l2s(&query, width, &columns, &mut out);
            prop_assert_eq!(bits(&out), bits(&each(Kernels::l2)));
        }
    }

    #[test]
    fn steps_lie_within_half_a_step_and_are_the_same_on_every_tier(
        seed: u64, parts in 0usize..50, scale in -20i32..20, most in 20f32..3_000.0,
    ) {
        let mut rng = Rng::new(seed, 0);
        let number = |_| (rng.unit() as f32 - 0.5) * 2f32.powi(scale);
        let entries: Vec<f32> = (0..16 * parts).map(number).collect();
        let mut wanted = vec![0; entries.len()];
        let (step, bias) = portable().to_steps(&entries, most, &mut wanted);
        let mut least = 0.0;
        for (entries, steps) in entries.chunks(16).zip(wanted.chunks(16)) {
            let low = entries.iter().copied().fold(f32::INFINITY, f32::min);
            least += f64::from(low);
            for (entry, &whole) in entries.iter().zip(steps) {
                prop_assert!(f32::from(whole) <= MOST_ENTRY);
                let off = f64::from(entry - low) - f64::from(step) * f64::from(whole);
                prop_assert!(off.abs() <= 0.5001 * f64::from(step));
            }
        }
        let size = entries.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        prop_assert!((f64::from(bias) - least).abs() <= (parts * parts) as f64 * U * f64::from(size));
        let largest = |part: &[u8]| f32::from(part.iter().copied().max().unwrap_or(0));
        let sum: f32 = wanted.chunks(16).map(largest).sum();
        prop_assert!(sum <= 1.0001 * most + parts as f32 / 2.0);
        for kernels in Kernels::available() {
            let mut out = vec![7; entries.len()];
            let (a, b) = kernels.to_steps(&entries, most, &mut out);
            prop_assert_eq!((a.to_bits(), b.to_bits(), &out), (step.to_bits(), bias.to_bits(), &wanted));
        }
    }
}

/// Tables with those of the parts that only fill a group up.
fn whole_groups(tables: &[u8]) -> Vec<u8> {
    let mut whole = tables.to_vec();
    whole.resize(tables.len().next_multiple_of(16 * GROUP), 0);
    whole
}

/// Rows of codes as the scan reads them, from the words of its documentation.
fn interleave(codes: &[u8], parts: usize) -> Vec<u8> {
    let code = |row: usize, part: usize| if part < parts { codes[row * parts + part] } else { 0 };
    let (blocks, groups) = (codes.len() / parts / BLOCK, parts.div_ceil(GROUP));
    let groups = (0..blocks).flat_map(|b| (0..groups).map(move |g| (b, GROUP * g)));
    let places =
        groups.flat_map(|(b, part)| (0..32).map(move |j| (b * BLOCK + j % 16, part + j / 16)));
    places.map(|(row, part)| code(row, part) | code(row, part + 2) << 4).collect()
}

#[test]
fn the_largest_sums_do_not_saturate_on_any_tier() {
    // 2,114 parts of 31 are 65,534; 2,115 wrap to 29 everywhere rather than stick.
    let most = MOST_ENTRY as u8;
    for (parts, wanted) in [(1, 31), (2, 62), (256, 7_936), (2_114, 65_534), (2_115, 29u16)] {
        let tables = whole_groups(&vec![most; 16 * parts]);
        let blocks = vec![0xA5; tables.len()];
        for kernels in Kernels::available() {
            let mut out = [0; 2 * BLOCK];
            kernels.scan(&tables, &blocks, &mut out);
            assert_eq!(out, [wanted; 2 * BLOCK], "{:?}", kernels.tier());
        }
    }
}

#[test]
fn the_largest_integer_dot_products_are_exact() {
    // 512 · 128 · 32,767 is the last product below 2³¹ with whole blocks of numbers.
    for (number, byte) in [(i16::MAX, i8::MIN), (i16::MAX, i8::MAX), (i16::MIN + 1, i8::MIN)] {
        let (numbers, bytes) = (vec![number; 5 * 512], vec![byte; 6 * 512]);
        for kernels in Kernels::available() {
            let mut out = [0; 30];
            kernels.dots_i16(&numbers, &bytes, 512, &mut out);
            assert_eq!(
                out,
                [512 * i32::from(number) * i32::from(byte); 30],
                "{:?}",
                kernels.tier()
            );
        }
    }
}

#[test]
fn the_largest_dot_products_with_outlines_are_exact() {
    // As many numbers as an index takes; every pair of products, and every sum, is the largest there is.
    let dim = 1 << 20;
    for (number, byte) in [(31, i8::MAX), (31, i8::MIN), (-31, i8::MAX), (-31, i8::MIN)] {
        let (numbers, bytes) = (vec![number; dim], vec![byte; dim]);
        for kernels in Kernels::available() {
            let mut outline = Outline::default();
            kernels.outline(&bytes, dim, &mut outline);
            let mut out = [0; OUTLINED];
            kernels.outline_dots(&numbers, &outline, &mut out);
            let wanted = dim as i32 * i32::from(number) * if byte > 0 { 32 } else { -32 };
            assert_eq!(out[0], wanted, "{:?}", kernels.tier());
        }
    }
}

#[test]
fn neighbouring_codes_do_not_spill_into_each_other() {
    // One code of the block reads 31 everywhere, the others 0: sums of pairs of bytes must part.
    let parts = 2_114;
    let mut tables = vec![0; 16 * parts];
    tables.chunks_mut(16).for_each(|part| part[9] = MOST_ENTRY as u8);
    let tables = whole_groups(&tables);
    for lit in 0..BLOCK {
        let codes: Vec<u8> =
            (0..BLOCK * parts).map(|i| if i / parts == lit { 9 } else { 4 }).collect();
        for kernels in Kernels::available() {
            let mut out = [0; BLOCK];
            kernels.scan(&tables, &interleave(&codes, parts), &mut out);
            let wanted: [u16; BLOCK] = std::array::from_fn(|i| if i == lit { 65_534 } else { 0 });
            assert_eq!(out, wanted, "{:?}", kernels.tier());
        }
    }
}
