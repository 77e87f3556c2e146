//! What is in a block, before it is compressed: a letter and pairs of bytes.

/// Largest block after decompression: entries of about a mebibyte, of which one may be that large
/// itself.
pub(super) const LARGEST: usize = 8 << 20;
/// A block of entries is closed when it has this size.
pub(super) const FULL: usize = 1 << 20;

pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// The content of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// Keys and values, in key order from block to block.
    Entries(Vec<Pair>),
    /// Names and contents of the files of the certificate authority.
    Authority(Vec<Pair>),
    /// The last block.
    End(End),
}

/// What there was before the last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) entries: u64,
    /// Of all keys and values: see [`Digest`].
    pub(super) digest: [u8; 32],
}

impl Content {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Entries(pairs) => pairs_to_bytes(b'E', pairs),
            Self::Authority(pairs) => pairs_to_bytes(b'A', pairs),
            Self::End(end) => {
                let mut bytes = vec![b'Z'];
                bytes.extend(end.entries.to_be_bytes());
                bytes.extend(end.digest);
                bytes
            }
        }
    }

    /// `None` when it is something else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (letter, rest) = bytes.split_first()?;
        match letter {
            b'E' => read_pairs(rest).map(Self::Entries),
            b'A' => read_pairs(rest).map(Self::Authority),
            b'Z' => {
                let (entries, digest) = rest.split_first_chunk::<8>()?;
                Some(Self::End(End {
                    entries: u64::from_be_bytes(*entries),
                    digest: digest.try_into().ok()?,
                }))
            }
            _ => None,
        }
    }
}

fn pairs_to_bytes(letter: u8, pairs: &[Pair]) -> Vec<u8> {
    let size: usize = pairs
        .iter()
        .map(|(key, value)| key.len() + value.len() + 8)
        .sum();
    let mut bytes = Vec::with_capacity(1 + size);
    bytes.push(letter);
    for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
        // No part is larger than a transaction of the store.
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend(length.to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

fn read_pairs(mut bytes: &[u8]) -> Option<Vec<Pair>> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (part, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((part.to_vec(), rest.is_empty()))
    };
    let mut pairs = Vec::new();
    loop {
        let (key, is_over) = part()?;
        if is_over && key.is_empty() {
            return None;
        }
        let (value, is_over) = part()?;
        pairs.push((key, value));
        if is_over {
            return Some(pairs);
        }
    }
}

/// The hash of a sequence of entries.
#[derive(Default)]
pub(super) struct Digest {
    hash: blake3::Hasher,
    entries: u64,
}

impl Digest {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        for part in [key, value] {
            self.hash.update(&(part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
        self.entries += 1;
    }

    pub(super) fn end(&self) -> End {
        End {
            entries: self.entries,
            digest: *self.hash.finalize().as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let pairs = vec![
            (b"/a".to_vec(), b"1".to_vec()),
            (b"/b".to_vec(), Vec::new()),
            (b"/c".to_vec(), vec![0; 3000]),
        ];
        for content in [
            Content::Entries(pairs.clone()),
            Content::Authority(pairs),
            Content::End(End {
                entries: 7,
                digest: [9; 32],
            }),
        ] {
            let bytes = content.to_bytes();
            assert_eq!(Content::read(&bytes), Some(content.clone()));
            for cut in 0..bytes.len().min(40) {
                let whole = Content::read(&bytes[..cut]);
                assert!(whole.is_none() || whole != Some(content.clone()), "{cut}");
            }
        }
        assert_eq!(Content::read(b""), None);
        assert_eq!(Content::read(b"E\xff\xff\xff\xff"), None);
    }

    #[test]
    fn a_digest_knows_where_a_key_ends() {
        let digest = |pairs: &[(&str, &str)]| {
            let mut digest = Digest::default();
            for (key, value) in pairs {
                digest.add(key.as_bytes(), value.as_bytes());
            }
            digest.end()
        };
        assert_ne!(digest(&[("a", "bc")]), digest(&[("ab", "c")]));
        assert_ne!(digest(&[]), digest(&[("", "")]));
    }
}
