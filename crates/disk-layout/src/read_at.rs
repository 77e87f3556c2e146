//! Reading at a place, without a cursor.

#[expect(
    clippy::disallowed_types,
    reason = "reads a file that others have opened"
)]
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Something with a size that can be read anywhere: a disk, an image file, bytes in memory, a part
/// of one of these.
pub trait ReadAt {
    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    /// Those of the device; [`io::ErrorKind::UnexpectedEof`] when the bytes lie beyond its end.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Bytes that can be read.
    fn size(&self) -> u64;

    /// The first byte at or after `offset` that may be other than zero, as far as that is known
    /// without reading; [`size`](Self::size) or more when there is none.
    fn next_data(&self, offset: u64) -> u64 {
        offset
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "reads a file that others have opened"
)]
impl ReadAt for File {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, offset)
    }

    /// By seeking, because a block device has no length in its metadata. 0 for what cannot seek.
    fn size(&self) -> u64 {
        let mut this = self;
        this.seek(SeekFrom::End(0)).unwrap_or(0)
    }
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl ReadAt for Vec<u8> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_exact_at(offset, buffer)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buffer)
    }

    fn size(&self) -> u64 {
        (**self).size()
    }

    fn next_data(&self, offset: u64) -> u64 {
        (**self).next_data(offset)
    }
}

/// A part of something, such as a partition of a disk; offsets count from the start of the part.
#[derive(Clone, Copy, Debug)]
pub struct Window<R> {
    inner: R,
    start: u64,
    size: u64,
}

impl<R: ReadAt> Window<R> {
    /// The `size` bytes of `inner` from `start` on, cut at its end.
    pub fn new(inner: R, start: u64, size: u64) -> Self {
        let size = size.min(inner.size().saturating_sub(start));
        Self { inner, start, size }
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset
            .checked_add(buffer.len() as u64)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.inner.read_exact_at(self.start + offset, buffer)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&self, offset: u64) -> u64 {
        self.inner
            .next_data(self.start.saturating_add(offset))
            .saturating_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_where_its_partition_ends() {
        let disk: Vec<u8> = (0..100).collect();
        let window = Window::new(&disk, 10, 20);
        let mut bytes = [0; 4];
        window.read_exact_at(16, &mut bytes).unwrap();
        assert_eq!(bytes, [26, 27, 28, 29]);
        assert_eq!(
            window.read_exact_at(17, &mut bytes).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(Window::new(&disk, 90, 20).size(), 10);
        assert_eq!(
            disk.read_exact_at(u64::MAX, &mut bytes).unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
