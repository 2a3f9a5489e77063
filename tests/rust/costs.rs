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

#[test]
#[ignore = "a measurement; benches/python/quantize.py runs it"]
fn print_costs() {
    let numbers = |name: &str| asked(name).parse::<usize>().unwrap();
    let rows = rows(Path::new(&asked("ROWS")), numbers("DIM"));
    let (threads, cancel) = (Threads::new(numbers("THREADS")).unwrap(), Cancel::new());
    // Forgets how high memory stood while the rows were read.
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let (wall, start) = (Instant::now(), processor());
    let mut error = 0.0;
    let pq = match numbers("PARTS") {
        0 => {
            let means = KMeans::new(numbers("CLUSTERS"));
            let iterations = numbers("MOVES");
            let means = KMeans { iterations, rows_per_cluster: 1000, tolerance: 0.0, ..means };
            error = means.fit(rows.view(), threads, &cancel).unwrap().objective;
            None
        }
        parts => {
            let bits = if numbers("BITS") == 4 { Bits::Four } else { Bits::Eight };
            ProductQuantizer::train(rows.view(), parts, bits, 0, threads, &cancel).ok()
        }
    };
    let train = [processor() - start, wall.elapsed().as_secs_f64()];
    let peak = status("VmHWM:") - before;
    let mut encoding = [0.0; 2];
    if let Some(pq) = pq {
        let (wall, start) = (Instant::now(), processor());
        let mut codes = None;
        for _ in 0..PASSES {
            codes = Some(pq.encode(rows.view(), threads, &cancel).unwrap());
        }
        encoding =
            [processor() - start, wall.elapsed().as_secs_f64()].map(|s| s / f64::from(PASSES));
        let near = pq.decode(&codes.unwrap());
        let squares = near.view().data().iter().zip(rows.view().data());
        error = squares.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    }
    println!(
        "costs {{\"train_s\": {}, \"train_wall_s\": {}, \"encode_s\": {}, \"encode_wall_s\": {}, \"error\": {error}, \"peak_bytes\": {peak}}}",
        train[0], train[1], encoding[0], encoding[1],
    );
}
