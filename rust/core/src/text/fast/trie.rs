//! A trie over bytes: every word that begins a text, shortest first.

use super::words::fold;

/// Nodes and bytes are looked up together in 32 bits.
const MOST_NODES: usize = 1 << 24;

/// Words and their ids.
#[derive(Debug)]
pub(super) struct Trie {
    /// The child of the root by each byte; 0 where there is none.
    root: [u32; 256],
    /// Open addressing: above, node and byte; below, the child; 0 where there is nothing.
    edges: Vec<u64>,
    count: usize,
    /// The id of the word that ends at each node; negative where none does.
    ids: Vec<i32>,
}

impl Trie {
    /// Of `words`, none of them empty; of the same word the last counts. `None` if they are too many.
    pub(super) fn new<'w>(words: impl Iterator<Item = (&'w [u8], i32)>) -> Option<Self> {
        let mut trie = Self { root: [0; 256], edges: vec![0; 1024], count: 0, ids: vec![-1] };
        for (word, id) in words {
            let mut node = 0;
            for &byte in word {
                node = trie.grow(node, byte);
            }
            trie.ids[node as usize] = id;
            if trie.ids.len() > MOST_NODES - 256 {
                return None;
            }
        }
        Some(trie)
    }

    fn grow(&mut self, node: u32, byte: u8) -> u32 {
        let child = self.child(node, byte);
        if child != 0 {
            return child;
        }
        let child = self.ids.len() as u32;
        self.ids.push(-1);
        if node == 0 {
            self.root[usize::from(byte)] = child;
            return child;
        }
        self.count += 1;
        if self.count * 3 > self.edges.len() * 2 {
            let old = std::mem::take(&mut self.edges);
            self.edges = vec![0; 2 * old.len()];
            old.into_iter().filter(|&edge| edge != 0).for_each(|edge| self.insert(edge));
        }
        self.insert(u64::from(node << 8 | u32::from(byte)) << 32 | u64::from(child));
        child
    }

    fn insert(&mut self, edge: u64) {
        let mut at = self.place((edge >> 32) as u32);
        while self.edges[at] != 0 {
            at = (at + 1) & (self.edges.len() - 1);
        }
        self.edges[at] = edge;
    }

    #[inline(always)]
    fn place(&self, key: u32) -> usize {
        fold(u64::from(key), 0x9e37_79b9_7f4a_7c15) as usize & (self.edges.len() - 1)
    }

    /// The child of `node` by `byte`; 0 if there is none.
    #[inline(always)]
    fn child(&self, node: u32, byte: u8) -> u32 {
        if node == 0 {
            return self.root[usize::from(byte)];
        }
        let key = node << 8 | u32::from(byte);
        let mut at = self.place(key);
        loop {
            let edge = self.edges[at];
            if edge >> 32 == u64::from(key) {
                return edge as u32;
            }
            if edge == 0 {
                return 0;
            }
            at = (at + 1) & (self.edges.len() - 1);
        }
    }

    /// Gives the length and the id of each word that begins `text`, shortest first.
    #[inline(always)]
    pub(super) fn prefixes(&self, text: &[u8], mut each: impl FnMut(usize, i32)) {
        let mut node = 0;
        for (at, &byte) in text.iter().enumerate() {
            node = self.child(node, byte);
            if node == 0 {
                return;
            }
            let id = self.ids[node as usize];
            if id >= 0 {
                each(at + 1, id);
            }
        }
    }

    /// The id of a word.
    pub(super) fn get(&self, word: &[u8]) -> Option<i32> {
        let mut found = None;
        self.prefixes(word, |len, id| found = (len == word.len()).then_some(id));
        found
    }
}
