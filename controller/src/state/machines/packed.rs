//! What is long is stored compressed: a configuration of the largest size has to fit into one
//! transaction, whatever JSON makes of its line ends.

use std::fmt;
use std::marker::PhantomData;

use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What zstd's default gives.
const LEVEL: i32 = 0;
/// Most bytes of JSON that are unpacked: a configuration of 1 MB with each of its bytes escaped, and
/// what is around its files.
const LARGEST: usize = 8 << 20;

/// A value as base64 of compressed JSON.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Packed<T> {
    text: String,
    #[serde(skip)]
    of: PhantomData<fn() -> T>,
}

/// Why a value cannot be packed or unpacked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PackError {
    #[error("could not compress what is to be stored")]
    Pack,
    #[error("what is stored cannot be decompressed")]
    Unpack,
    #[error("what is stored is not what it should be: {0}")]
    Content(String),
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// # Errors
    /// [`PackError::Pack`]; only a lack of memory leads to it.
    pub fn new(value: &T) -> Result<Self, PackError> {
        let bytes = pack(value)?;
        Ok(Self {
            text: BASE64.encode(&bytes),
            of: PhantomData,
        })
    }

    /// The value.
    ///
    /// # Errors
    /// [`PackError`] when something else was stored.
    pub fn open(&self) -> Result<T, PackError> {
        let bytes = BASE64
            .decode(self.text.as_bytes())
            .map_err(|_| PackError::Unpack)?;
        unpack(&bytes)
    }
}

impl<T> Packed<T> {
    /// Bytes in the store.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

/// A value as compressed JSON.
///
/// # Errors
/// [`PackError::Pack`]
pub fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, PackError> {
    let json = serde_json::to_vec(value).map_err(|_| PackError::Pack)?;
    zstd::bulk::compress(&json, LEVEL).map_err(|_| PackError::Pack)
}

/// What [`pack`] has made.
///
/// # Errors
/// [`PackError`] when it is something else.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, PackError> {
    let json = zstd::bulk::decompress(bytes, LARGEST).map_err(|_| PackError::Unpack)?;
    serde_json::from_slice(&json).map_err(|error| PackError::Content(error.to_string()))
}

// Derives would ask the same of `T`.
impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            of: PhantomData,
        }
    }
}

impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> Eq for Packed<T> {}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_and_a_long_one_of_line_ends_is_short() {
        let value = vec!["\n".repeat(1_000_000), "x".to_owned()];
        let packed = Packed::new(&value).unwrap();
        assert!(packed.bytes() < 10_000, "{}", packed.bytes());
        assert_eq!(packed.open().unwrap(), value);
        let stored = serde_json::to_string(&packed).unwrap();
        let read: Packed<Vec<String>> = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.open().unwrap(), value);
        let other: Packed<u32> = serde_json::from_str(&stored).unwrap();
        assert!(matches!(other.open(), Err(PackError::Content(_))));
        let broken: Packed<u32> = serde_json::from_str("\"AAAA\"").unwrap();
        assert_eq!(broken.open(), Err(PackError::Unpack));
    }
}
