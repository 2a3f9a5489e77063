//! A trie over bytes: every word that begins a text, shortest first.
//!
//! Aoe, "An efficient digital search algorithm by using a double-array structure" (1989), where the child of
//! a node by a byte lies at the exclusive or of the node's base and the byte. So a step looks at one number,
//! and nodes get their places in the order of the words: those of frequent words lie side by side.

/// Children of a node lie in one block of so many places.
const BLOCK: usize = 256;

/// A place has 23 bits.
const MOST: usize = 1 << 23;

/// Blocks in which room is sought for several children.
const RECENT: usize = 8;

/// Places that are tried for an only child before they are given up for all.
const TRIES: usize = 64;

/// What a place holds. The upper 9 bits: 0 where there is no node, else one more than the byte that leads
/// here; 23 bits: the base of its children; 32 bits: one more than the id of the word that ends here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Node(u64);

impl Node {
    fn new(byte: u8, id: u32) -> Self {
        Self((u64::from(byte) + 1) << 55 | u64::from(id))
    }

    fn is_free(self) -> bool {
        self.0 == 0
    }

    #[inline(always)]
    fn is_by(self, byte: u8) -> bool {
        self.0 >> 55 == u64::from(byte) + 1
    }

    #[inline(always)]
    fn base(self) -> usize {
        (self.0 >> 32) as usize & (MOST - 1)
    }

    #[inline(always)]
    fn id(self) -> i32 {
        (self.0 as u32).wrapping_sub(1) as i32
    }
}

/// Words and their ids.
#[derive(Debug)]
pub(super) struct Trie {
    /// The first block is empty: there nodes without children look for them.
    nodes: Vec<Node>,
    /// The base of the first bytes of words.
    root: usize,
}

impl Trie {
    /// Of `words`, none of them empty; of the same word the last counts. `None` if they are too many.
    pub(super) fn new<'w>(words: impl Iterator<Item = (&'w [u8], i32)>) -> Option<Self> {
        let sprouts = grow(words);
        let mut places = Places::default();
        // Where each is; a parent is placed before its children.
        let mut place = vec![0; sprouts.len()];
        let mut root = 0;
        let mut children = Vec::new();
        for parent in 0..sprouts.len() {
            children.clear();
            let some = |child: u32| Some(child).filter(|&child| child != NONE);
            let next = |&child: &u32| some(sprouts[child as usize].next);
            children.extend(std::iter::successors(some(sprouts[parent].first), next));
            if children.is_empty() {
                continue;
            }
            let base = places.room(children.iter().map(|&child| sprouts[child as usize].byte))?;
            for &child in &children {
                let Sprout { byte, id, .. } = sprouts[child as usize];
                place[child as usize] = base ^ usize::from(byte);
                places.nodes[base ^ usize::from(byte)] = Node::new(byte, id);
            }
            match parent {
                0 => root = base,
                _ => places.nodes[place[parent]].0 |= (base as u64) << 32,
            }
        }
        Some(Self { nodes: places.nodes, root })
    }

    /// Gives the length and the id of each word that begins `text`, shortest first.
    #[inline(always)]
    pub(super) fn prefixes(&self, text: &[u8], mut each: impl FnMut(usize, i32)) {
        let mut base = self.root;
        for (at, &byte) in text.iter().enumerate() {
            let node = self.nodes[base ^ usize::from(byte)];
            if !node.is_by(byte) {
                return;
            }
            if node.id() >= 0 {
                each(at + 1, node.id());
            }
            base = node.base();
        }
    }

    /// The id of a word.
    pub(super) fn get(&self, word: &[u8]) -> Option<i32> {
        let mut found = None;
        self.prefixes(word, |len, id| found = (len == word.len()).then_some(id));
        found
    }
}

const NONE: u32 = u32::MAX;

/// A node that has no place yet.
#[derive(Debug, Clone, Copy)]
struct Sprout {
    byte: u8,
    /// One more than the id of its word, 0 without one.
    id: u32,
    /// Its first child, and its next sibling.
    first: u32,
    next: u32,
}

/// The nodes of words, in the order in which the words need them.
fn grow<'w>(words: impl Iterator<Item = (&'w [u8], i32)>) -> Vec<Sprout> {
    let new = |byte| Sprout { byte, id: 0, first: NONE, next: NONE };
    let mut sprouts = vec![new(0)];
    for (word, id) in words {
        let mut node = 0;
        for &byte in word {
            let fresh = sprouts.len() as u32;
            let mut child = sprouts[node].first;
            if child == NONE {
                sprouts[node].first = fresh;
            }
            while child != NONE && sprouts[child as usize].byte != byte {
                let next = sprouts[child as usize].next;
                if next == NONE {
                    sprouts[child as usize].next = fresh;
                }
                child = next;
            }
            if child == NONE {
                sprouts.push(new(byte));
                child = fresh;
            }
            node = child as usize;
        }
        sprouts[node].id = id as u32 + 1;
    }
    sprouts
}

/// Places, those that are taken, and bases that some node has: no two have the same.
struct Places {
    nodes: Vec<Node>,
    bases: Vec<bool>,
    /// Places before it are taken, or given up.
    free: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self { nodes: vec![Node::default(); BLOCK], bases: vec![true; BLOCK], free: BLOCK }
    }
}

impl Places {
    /// A base for children by these bytes; `None` if there are too many nodes.
    fn room(&mut self, mut bytes: impl ExactSizeIterator<Item = u8> + Clone) -> Option<usize> {
        while self.nodes.get(self.free).is_some_and(|node| !node.is_free()) {
            self.free += 1;
        }
        let (several, all) = (bytes.len() > 1, bytes.clone());
        let first = usize::from(bytes.next()?);
        let recent = self.nodes.len().saturating_sub(RECENT * BLOCK);
        let from = if several { self.free.max(recent) } else { self.free };
        let free = (from..self.nodes.len()).filter(|&at| self.nodes[at].is_free());
        let fits = |&(_, at): &(usize, usize)| {
            let is_free = |byte| self.nodes[at ^ first ^ usize::from(byte)].is_free();
            !self.bases[at ^ first] && all.clone().all(is_free)
        };
        let found = free.enumerate().find(fits);
        let base = match found {
            Some((tries, at)) => {
                // In a block whose bases are all taken places stay free that nobody can use.
                if !several && tries > TRIES {
                    self.free = at;
                }
                at ^ first
            }
            None => {
                let base = self.nodes.len();
                if !several {
                    self.free = base;
                }
                self.nodes.resize(base + BLOCK, Node::default());
                self.bases.resize(base + BLOCK, false);
                base
            }
        };
        self.bases[base] = true;
        (self.nodes.len() <= MOST).then_some(base)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prefixes_are_those_of_a_sorted_map(
            words in prop::collection::vec(prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 1..6), 0..400),
            texts in prop::collection::vec(prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..9), 1..20),
        ) {
            let ids = || words.iter().map(Vec::as_slice).zip(0..);
            let (trie, map) = (Trie::new(ids()).expect("few words"), ids().collect::<BTreeMap<_, i32>>());
            for text in texts.iter().chain(&words) {
                let mut found = Vec::new();
                trie.prefixes(text, |len, id| found.push((len, id)));
                let known = |len: usize| Some((len, *map.get(&text[..len])?));
                prop_assert_eq!(found, (1..=text.len()).filter_map(known).collect::<Vec<_>>());
                prop_assert_eq!(trie.get(text), map.get(&text[..]).copied());
            }
        }
    }
}
