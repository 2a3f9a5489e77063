//! Naive `f64` twins of everything fast, written from the definitions; they share no code with it.

use crate::MatrixRef;

/// Σ aᵢ·bᵢ.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        sum += f64::from(a[i]) * f64::from(b[i]);
    }
    sum
}

/// Σ |aᵢ·bᵢ|, the scale of the error of a dot product.
pub fn dot_of_sizes(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        sum += (f64::from(a[i]) * f64::from(b[i])).abs();
    }
    sum
}

/// Σ (aᵢ−bᵢ)².
pub fn l2(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for i in 0..a.len() {
        let difference = f64::from(a[i]) - f64::from(b[i]);
        sum += difference * difference;
    }
    sum
}

/// alpha·x + y.
pub fn axpy(alpha: f32, x: &[f32], y: &[f32]) -> Vec<f64> {
    let mut out = Vec::new();
    for i in 0..x.len() {
        out.push(f64::from(alpha) * f64::from(x[i]) + f64::from(y[i]));
    }
    out
}

/// For each row of `codes`, `parts` bytes each, the sum of its entries in 16-entry `tables`.
pub fn scan(tables: &[u8], codes: &[u8], parts: usize) -> Vec<u64> {
    let mut sums = Vec::new();
    for row in 0..codes.len() / parts {
        let mut sum = 0;
        for part in 0..parts {
            sum += u64::from(tables[part * 16 + usize::from(codes[row * parts + part])]);
        }
        sums.push(sum);
    }
    sums
}

/// The nearest centroid of every row and its squared distance; the lower number on ties.
pub fn nearest(rows: MatrixRef<'_>, centroids: MatrixRef<'_>) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    for row in 0..rows.rows() {
        let mut best = (0, f64::INFINITY);
        for c in 0..centroids.rows() {
            let distance = l2(rows.row(row), centroids.row(c));
            if distance < best.1 {
                best = (c, distance);
            }
        }
        found.push(best);
    }
    found
}

/// Σ over the rows of the squared distance to the nearest centroid.
pub fn objective(rows: MatrixRef<'_>, centroids: MatrixRef<'_>) -> f64 {
    let mut sum = 0.0;
    for (_, distance) in nearest(rows, centroids) {
        sum += distance;
    }
    sum
}

/// The codebooks of a product quantizer, and the columns that each serves.
pub type Codebooks<'a> = [(std::ops::Range<usize>, MatrixRef<'a>)];

/// For each part of each row the nearest centroid and its squared distance; the lower on ties.
pub fn encode(rows: MatrixRef<'_>, codebooks: &Codebooks<'_>) -> Vec<(usize, f64)> {
    let mut codes = Vec::new();
    for row in 0..rows.rows() {
        for (columns, book) in codebooks {
            let part = &rows.row(row)[columns.clone()];
            let part = MatrixRef::new(part, part.len()).expect("a part has columns");
            codes.push(nearest(part, *book)[0]);
        }
    }
    codes
}

/// The vector that one code stands for.
pub fn decode(code: &[u8], codebooks: &Codebooks<'_>) -> Vec<f32> {
    let mut vector = Vec::new();
    for (part, (_, book)) in codebooks.iter().enumerate() {
        vector.extend_from_slice(book.row(usize::from(code[part])));
    }
    vector
}

/// The k rows with the highest scores, best first, the lower number on ties.
pub fn top_k(
    rows: MatrixRef<'_>,
    query: &[f32],
    k: usize,
    score: impl Fn(&[f32], &[f32]) -> f64,
) -> Vec<(usize, f64)> {
    let mut all = Vec::new();
    for row in 0..rows.rows() {
        all.push((row, score(query, rows.row(row))));
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

/// normalise( Σ_t weight[t]·scale[t]·row t of `table` ) over `tokens`; zeros if the sum is zero.
pub fn static_vector(
    table: &[i8],
    scale: &[f32],
    weight: &[f32],
    dim: usize,
    tokens: &[usize],
) -> Vec<f64> {
    let mut sum = vec![0.0; dim];
    for &token in tokens {
        for j in 0..dim {
            let factor = f64::from(weight[token]) * f64::from(scale[token]);
            sum[j] += factor * f64::from(table[token * dim + j]);
        }
    }
    let mut square = 0.0;
    for x in &sum {
        square += x * x;
    }
    if square > 0.0 {
        for x in &mut sum {
            *x /= square.sqrt();
        }
    }
    sum
}
