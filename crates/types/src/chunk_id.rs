//! BLAKE3 digests: the names of chunks, manifests and files.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 32-byte BLAKE3 digest.
pub type Digest = [u8; 32];

/// Text that is not 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {0:?}")]
pub struct ParseDigestError(String);

macro_rules! digest_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(inline)]
        pub struct $name(#[schemars(with = "String", regex(pattern = "^[0-9a-f]{64}$"))] Digest);

        impl $name {
            /// Names `bytes` by their BLAKE3 hash.
            #[must_use]
            pub fn of(bytes: &[u8]) -> Self {
                Self(*blake3::hash(bytes).as_bytes())
            }

            /// From the digest itself.
            #[must_use]
            pub const fn from_digest(digest: Digest) -> Self {
                Self(digest)
            }

            /// The digest.
            #[must_use]
            pub const fn as_bytes(&self) -> &Digest {
                &self.0
            }
        }

        impl fmt::Display for $name {
            /// All 64 hexadecimal digits; `{:#}` gives the first 12, for logs.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = HEXLOWER_PERMISSIVE.encode(&self.0);
                f.write_str(if f.alternate() { &text[..12] } else { &text })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes = HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .map_err(|_| ParseDigestError(text.to_owned()))?;
                let digest = bytes.try_into().map_err(|_| ParseDigestError(text.to_owned()))?;
                Ok(Self(digest))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    Digest::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

digest_id!(
    /// Digest of a chunk's plain bytes: equal ids mean equal contents.
    ChunkId
);
digest_id!(
    /// Digest of an encoded manifest: names one captured state of one disk, whole.
    ManifestId
);
digest_id!(
    /// Digest of a part of a large manifest: some of its chunk entries, encoded.
    PartId
);
digest_id!(
    /// Digest of the whole content of a file beside images, such as a snapin's.
    FileId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_short_form_is_a_prefix() {
        let id = ChunkId::of(b"fog");
        assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
        assert!(id.to_string().starts_with(&format!("{id:#}")));
        assert!("00ff".parse::<ChunkId>().is_err());
        assert!("zz".repeat(32).parse::<ChunkId>().is_err());
    }
}
