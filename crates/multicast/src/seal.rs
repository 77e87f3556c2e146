//! Packets under the session's key: [`Sealer`] on the sender, [`Opener`] on each receiver.

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;

use crate::packet::{Body, Packet};
use crate::replay::ReplayWindow;

/// First byte of every packet. Another layout gets another number.
pub const PACKET_VERSION: u8 = 0xF1;
/// Bytes before the sealed body; authenticated, in clear.
pub const HEADER: usize = 12;
/// Bytes of the authentication tag behind the body.
pub const TAG: usize = 16;
/// Sequence numbers are below this: 48 bits.
pub const MAX_SEQUENCE: u64 = 1 << 48;
/// How many keys an [`Opener`] holds: the newest, and some on their way out.
const MAX_EPOCHS: usize = 4;

/// Names a session among those that a receiver might hear; part of every packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionTag(pub u32);

/// Which key of the session; goes up by one with each rotation, and wraps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch(pub u8);

/// Cipher of a session; the sender chooses, every receiver can do both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suite {
    /// AES-128-GCM, fast where the processor has instructions for it.
    Aes128Gcm,
    /// For senders whose processor has no AES instructions.
    ChaCha20Poly1305,
}

impl Suite {
    /// The faster one on this processor.
    #[must_use]
    pub fn for_this_processor() -> Self {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let fast = std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq");
        #[cfg(target_arch = "aarch64")]
        let fast = std::arch::is_aarch64_feature_detected!("aes");
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
        let fast = false;
        if fast {
            Self::Aes128Gcm
        } else {
            Self::ChaCha20Poly1305
        }
    }

    /// As it is written in messages.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Aes128Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    /// Reads [`code`](Self::code).
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes128Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    const fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }
}

/// What a receiver must be told, over its own connection, to open a session's packets.
///
/// The secret must come from a good source of randomness and serve one epoch of one session only:
/// it is what keeps a nonce from ever being used twice.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyMaterial {
    /// The session that it is for.
    pub session: SessionTag,
    /// Its place in the sequence of the session's keys.
    pub epoch: Epoch,
    /// The cipher.
    pub suite: Suite,
    /// Random bytes from which the packet keys are derived.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for KeyMaterial {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaterial")
            .field("session", &self.session)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// A derived key and what the nonce is made with.
#[derive(Debug)]
struct Key {
    epoch: Epoch,
    cipher: LessSafeKey,
    iv: [u8; 12],
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Key {
    /// HKDF-SHA256 over the secret, bound to session, epoch and cipher: the same secret elsewhere
    /// gives other keys.
    fn derive(material: &KeyMaterial) -> Self {
        let algorithm = material.suite.algorithm();
        let mut context = *b"foghorn multicast 1 ......";
        context[20..24].copy_from_slice(&material.session.0.to_le_bytes());
        context[24] = material.epoch.0;
        context[25] = material.suite.code();
        let mut bytes = [0_u8; 32 + 12];
        let length = algorithm.key_len() + 12;
        hkdf::Salt::new(hkdf::HKDF_SHA256, &[])
            .extract(&material.secret)
            .expand(&[&context], Length(length))
            .and_then(|okm| okm.fill(&mut bytes[..length]))
            .expect("HKDF gives up to 255 times 32 bytes");
        let (key, iv) = bytes[..length].split_at(algorithm.key_len());
        let cipher = UnboundKey::new(algorithm, key).expect("the key has the cipher's length");
        Self {
            epoch: material.epoch,
            cipher: LessSafeKey::new(cipher),
            iv: iv.try_into().expect("twelve bytes are left"),
        }
    }

    /// As TLS 1.3 makes it: the sequence number over the end of the IV.
    fn nonce(&self, sequence: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= number;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Why a packet could not be sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum SealError {
    #[error(
        "packet number {sequence} is not above {last}, the last one sealed; sealing it would break the key"
    )]
    NotAbove { sequence: u64, last: u64 },
    #[error("the session has used up its packet numbers; start a new one")]
    Exhausted,
}

/// Turns packets into datagrams. Refuses to use a number twice, over all epochs.
#[derive(Debug)]
pub struct Sealer {
    session: SessionTag,
    key: Key,
    /// The smallest number that may be sealed.
    next: u64,
}

impl Sealer {
    /// With a first key.
    #[must_use]
    pub fn new(material: &KeyMaterial) -> Self {
        Self {
            session: material.session,
            key: Key::derive(material),
            next: 0,
        }
    }

    /// From now on under this key. Numbers go on counting. The session must be the same.
    pub fn rotate(&mut self, material: &KeyMaterial) {
        debug_assert_eq!(material.session, self.session, "a key of another session");
        self.key = Key::derive(material);
    }

    /// The epoch of the present key.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.key.epoch
    }

    /// Appends the packet as a datagram and returns the datagram's length.
    ///
    /// # Errors
    /// Its number is not above the last one; nothing is appended.
    pub fn seal(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<usize, SealError> {
        if packet.sequence < self.next {
            return Err(SealError::NotAbove {
                sequence: packet.sequence,
                last: self.next - 1,
            });
        }
        if packet.sequence >= MAX_SEQUENCE {
            return Err(SealError::Exhausted);
        }
        self.next = packet.sequence + 1;
        let start = out.len();
        let header = header(self.session, self.key.epoch, packet.sequence);
        out.extend_from_slice(&header);
        packet.body.encode(out);
        let tag = self
            .key
            .cipher
            .seal_in_place_separate_tag(
                self.key.nonce(packet.sequence),
                Aad::from(header),
                &mut out[start + HEADER..],
            )
            .expect("a packet is far shorter than the cipher's limit");
        out.extend_from_slice(tag.as_ref());
        Ok(out.len() - start)
    }
}

fn header(session: SessionTag, epoch: Epoch, sequence: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = PACKET_VERSION;
    header[1] = epoch.0;
    header[2..6].copy_from_slice(&session.0.to_le_bytes());
    header[6..12].copy_from_slice(&sequence.to_le_bytes()[..6]);
    header
}

/// Why a datagram changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum Rejected {
    #[error("the datagram is too short for a packet")]
    Truncated,
    #[error("the datagram does not belong to this session")]
    Foreign,
    #[error("the packet is not encrypted with a key of this session")]
    Forged,
    #[error("the packet has been seen before, or is too old to tell")]
    Replayed,
    #[error(
        "the packet is authentic but cannot be understood: sender and receiver have different versions"
    )]
    Malformed,
}

/// How many datagrams were taken, and how many were not and why.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OpenerCounts {
    /// Datagrams that were authentic packets.
    pub opened: u64,
    /// Datagrams that were too short.
    pub truncated: u64,
    /// Datagrams of other sessions or other programs.
    pub foreign: u64,
    /// Datagrams that did not authenticate.
    pub forged: u64,
    /// Packets that had been seen before or were too old to tell.
    pub replayed: u64,
    /// Authentic packets that could not be understood.
    pub malformed: u64,
}

impl OpenerCounts {
    /// Datagrams that changed nothing.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.truncated + self.foreign + self.forged + self.replayed + self.malformed
    }
}

/// Turns datagrams back into packets; takes each once.
#[derive(Debug)]
pub struct Opener {
    session: SessionTag,
    /// Newest first. Each older key is good only for numbers below the first one seen under the
    /// next newer key, so that who was shut out by a rotation cannot go on as the sender.
    keys: Vec<(Key, u64)>,
    replay: ReplayWindow,
    counts: OpenerCounts,
}

impl Opener {
    /// With a first key.
    #[must_use]
    pub fn new(material: &KeyMaterial) -> Self {
        let keys = vec![(Key::derive(material), MAX_SEQUENCE)];
        Self {
            session: material.session,
            keys,
            replay: ReplayWindow::new(),
            counts: OpenerCounts::default(),
        }
    }

    /// Accepts a further key. Older ones stay good until the first packet under the new one.
    pub fn add(&mut self, material: &KeyMaterial) {
        if material.session == self.session
            && self.keys.iter().all(|(key, _)| key.epoch != material.epoch)
        {
            self.keys.insert(0, (Key::derive(material), MAX_SEQUENCE));
            self.keys.truncate(MAX_EPOCHS);
        }
    }

    /// What came so far.
    #[must_use]
    pub const fn counts(&self) -> OpenerCounts {
        self.counts
    }

    /// Opens a datagram in place.
    ///
    /// # Errors
    /// Why it changed nothing; it is counted.
    pub fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Result<Packet<'a>, Rejected> {
        let opened = self.open_uncounted(datagram);
        let count = match &opened {
            Ok(_) => &mut self.counts.opened,
            Err(Rejected::Truncated) => &mut self.counts.truncated,
            Err(Rejected::Foreign) => &mut self.counts.foreign,
            Err(Rejected::Forged) => &mut self.counts.forged,
            Err(Rejected::Replayed) => &mut self.counts.replayed,
            Err(Rejected::Malformed) => &mut self.counts.malformed,
        };
        *count += 1;
        opened
    }

    fn open_uncounted<'a>(&mut self, datagram: &'a mut [u8]) -> Result<Packet<'a>, Rejected> {
        let (head, sealed) = datagram
            .split_first_chunk_mut::<HEADER>()
            .ok_or(Rejected::Truncated)?;
        let head = *head;
        if head[0] != PACKET_VERSION || head[2..6] != self.session.0.to_le_bytes() {
            return Err(Rejected::Foreign);
        }
        if sealed.len() <= TAG {
            return Err(Rejected::Truncated);
        }
        let mut number = [0; 8];
        number[..6].copy_from_slice(&head[6..]);
        let sequence = u64::from_le_bytes(number);
        if !self.replay.is_new(sequence) {
            return Err(Rejected::Replayed);
        }
        let at = self
            .keys
            .iter()
            .position(|(key, below)| key.epoch.0 == head[1] && sequence < *below);
        let at = at.ok_or(Rejected::Forged)?;
        let key = &self.keys[at].0;
        let plain = key
            .cipher
            .open_in_place(key.nonce(sequence), Aad::from(head), sealed);
        let plain = plain.map_err(|_| Rejected::Forged)?;
        self.replay.mark(sequence);
        for (_, below) in &mut self.keys[at + 1..] {
            *below = sequence.min(*below);
        }
        let body = Body::decode(plain).map_err(|_| Rejected::Malformed)?;
        Ok(Packet { sequence, body })
    }
}
