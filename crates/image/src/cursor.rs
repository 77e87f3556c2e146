//! Reading and writing the primitives of the encoded form.

use std::io::Write;

use crate::codec::DecodeManifestError;

/// Appends `value` as LEB128: seven bits per byte, lowest first, the top bit set on all but the
/// last byte.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a section: tag, length, contents.
pub(crate) fn put_section(out: &mut Vec<u8>, tag: u8, contents: &[u8]) {
    out.push(tag);
    put_varint(out, contents.len() as u64);
    out.write_all(contents)
        .expect("writing to a Vec cannot fail");
}

/// What is left of an encoded manifest or of one section.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// Name of the section, for errors.
    section: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(rest: &'a [u8], section: &'static str) -> Self {
        Self { rest, section }
    }

    pub(crate) fn malformed(&self, what: &'static str) -> DecodeManifestError {
        DecodeManifestError::Malformed {
            section: self.section,
            what,
        }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether the next byte is this one.
    pub(crate) fn starts_with(&self, byte: u8) -> bool {
        self.rest.first() == Some(&byte)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeManifestError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(self.malformed("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeManifestError> {
        let taken = self.bytes(N)?;
        Ok(taken.try_into().expect("bytes() gave N bytes"))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeManifestError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A varint in its shortest form; a longer spelling is an error, so that equal manifests have
    /// equal bytes.
    pub(crate) fn varint(&mut self) -> Result<u64, DecodeManifestError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(self.malformed("number too large"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                return if shortest {
                    Ok(value)
                } else {
                    Err(self.malformed("number not in its shortest form"))
                };
            }
        }
        Err(self.malformed("number too large"))
    }

    /// A varint that must fit `T`.
    pub(crate) fn number<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeManifestError> {
        let value = self.varint()?;
        T::try_from(value).map_err(|_| self.malformed("number too large"))
    }

    /// A count of items of at least `least` bytes each, refused when the rest cannot hold them:
    /// memory that is reserved for the items stays in proportion to the input.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, DecodeManifestError> {
        let count: usize = self.number()?;
        if count > self.remaining() / least {
            return Err(self.malformed("more items than bytes"));
        }
        Ok(count)
    }

    /// The contents of the next section, which must have this tag.
    pub(crate) fn section(
        &mut self,
        tag: u8,
        name: &'static str,
    ) -> Result<Cursor<'a>, DecodeManifestError> {
        if self.byte()? != tag {
            return Err(DecodeManifestError::Malformed {
                section: name,
                what: "is not where it belongs",
            });
        }
        let len: usize = self.number()?;
        Ok(Cursor::new(self.bytes(len)?, name))
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeManifestError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("has bytes left over"))
        }
    }
}
