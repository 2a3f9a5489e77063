//! Not tests by themselves: what `benches/python/quantize.py` runs of ours, beside a peer.

use std::fs;
use std::path::Path;
use std::time::Instant;

use magnetite_core::cluster::KMeans;
use magnetite_core::quantize::{Bits, ProductQuantizer};
use magnetite_core::{Cancel, Matrix, Threads};

/// Passes over the rows that one figure of encoding is the mean of.
const PASSES: u32 = 5;

fn asked(name: &str) -> String {
    std::env::var(format!("MAGNETITE_COSTS_{name}"))
        .unwrap_or_else(|_| panic!("MAGNETITE_COSTS_{name} says what to measure"))
}

/// A line of /proc/self/status, in bytes.
fn status(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() * 1024
}

/// Processor time of this process, in seconds.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which ends with the last bracket, come the third field and on; ticks of 10 ms.
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Float32 numbers as they lie in a file.
fn rows(path: &Path, dim: usize) -> Matrix {
    let bytes = fs::read(path).unwrap();
    let numbers = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four));
    Matrix::new(numbers.collect(), dim).unwrap()
}

/// Processor and wall-clock seconds that `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, [f64; 2]) {
    let (wall, start) = (Instant::now(), processor());
    let done = work();
    (done, [processor() - start, wall.elapsed().as_secs_f64()])
}

fn number(name: &str) -> usize {
    asked(name).parse().unwrap()
}

fn say(train: [f64; 2], encode: [f64; 2], error: f64, peak: u64) {
    let ([train_s, train_wall_s], [encode_s, encode_wall_s]) = (train, encode);
    eprintln!(
        "costs {{\"train_s\": {train_s}, \"train_wall_s\": {train_wall_s}, \
         \"encode_s\": {encode_s}, \"encode_wall_s\": {encode_wall_s}, \
         \"error\": {error}, \"peak_bytes\": {peak}}}"
    );
}

#[test]
#[ignore = "a measurement; benches/python/quantize.py runs it"]
fn print_costs() {
    let (rows, cancel) = (rows(Path::new(&asked("ROWS")), number("DIM")), Cancel::new());
    let (parts, threads) = (number("PARTS"), Threads::new(number("THREADS")).unwrap());
    // Forgets how high memory stood while the rows were read.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    if parts == 0 {
        let (iterations, rows_per_cluster) = (number("MOVES"), 1000);
        let means = KMeans::new(number("CLUSTERS"));
        let means = KMeans { iterations, rows_per_cluster, tolerance: 0.0, ..means };
        let (found, train) = timed(|| means.fit(rows.view(), threads, &cancel).unwrap());
        return say(train, [0.0; 2], found.objective, status("VmHWM:") - before);
    }
    let bits = if number("BITS") == 4 { Bits::Four } else { Bits::Eight };
    let train = || ProductQuantizer::train(rows.view(), parts, bits, 0, threads, &cancel).unwrap();
    let (pq, train) = timed(train);
    let peak = status("VmHWM:") - before;
    let encode = || pq.encode(rows.view(), threads, &cancel).unwrap();
    let (codes, encoding) = timed(|| (1..PASSES).fold(encode(), |_, _| encode()));
    let near = pq.decode(&codes);
    let pairs = near.view().data().iter().zip(rows.view().data());
    let error = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    say(train, encoding.map(|s| s / f64::from(PASSES)), error, peak);
}
