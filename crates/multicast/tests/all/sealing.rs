//! What is not an authentic new packet of the session changes nothing, and is counted for what it
//! is.

use foghorn_multicast::{
    Body, Epoch, GroupNumber, KeyMaterial, MAX_SEQUENCE, Opener, OpenerCounts, Packet, Rejected,
    SealError, Sealer, SessionChunk, SessionTag, Suite, Symbol,
};

fn material(session: u32, epoch: u8, suite: Suite) -> KeyMaterial {
    KeyMaterial {
        session: SessionTag(session),
        epoch: Epoch(epoch),
        suite,
        secret: [epoch; 32],
    }
}

fn packet(sequence: u64) -> Packet<'static> {
    let payload = &[3; 64];
    let (group, first_chunk) = (GroupNumber(4), SessionChunk(5));
    Packet {
        sequence,
        body: Body::Symbol(Symbol {
            group,
            pass: 1,
            data_symbols: 9,
            index: 2,
            first_chunk,
            payload,
        }),
    }
}

fn sealed(sealer: &mut Sealer, sequence: u64) -> Vec<u8> {
    let mut datagram = Vec::new();
    sealer.seal(&packet(sequence), &mut datagram).unwrap();
    datagram
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    for suite in [Suite::Aes128Gcm, Suite::ChaCha20Poly1305] {
        let key = material(1, 0, suite);
        let (mut sealer, mut opener) = (Sealer::new(&key), Opener::new(&key));
        let datagram = sealed(&mut sealer, 1);
        for bit in 0..datagram.len() * 8 {
            let mut damaged = datagram.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let expected = if matches!(bit / 8, 0 | 2..=5) {
                Rejected::Foreign
            } else {
                Rejected::Forged
            };
            assert_eq!(opener.open(&mut damaged), Err(expected), "bit {bit}");
        }
        for length in 0..datagram.len() {
            let expected = if length <= 28 {
                Rejected::Truncated
            } else {
                Rejected::Forged
            };
            assert_eq!(
                opener.open(&mut datagram[..length].to_vec()),
                Err(expected),
                "{length} bytes"
            );
        }
        assert_eq!(opener.open(&mut datagram.clone()), Ok(packet(1)));
        assert_eq!(opener.open(&mut datagram.clone()), Err(Rejected::Replayed));
        let counts = opener.counts();
        assert_eq!(
            (counts.opened, counts.replayed, counts.malformed),
            (1, 1, 0)
        );
        assert_eq!(counts.rejected(), datagram.len() as u64 * 9 + 1);
    }
}

#[test]
fn another_session_is_foreign_and_counted_apart() {
    let mut other = Sealer::new(&material(2, 0, Suite::Aes128Gcm));
    let mut opener = Opener::new(&material(1, 0, Suite::Aes128Gcm));
    assert_eq!(
        opener.open(&mut sealed(&mut other, 1)),
        Err(Rejected::Foreign)
    );
    assert_eq!(
        opener.counts(),
        OpenerCounts {
            foreign: 1,
            ..OpenerCounts::default()
        }
    );
}

#[test]
fn a_number_is_never_sealed_twice() {
    let mut sealer = Sealer::new(&material(1, 0, Suite::Aes128Gcm));
    sealed(&mut sealer, 5);
    let mut out = Vec::new();
    assert_eq!(
        sealer.seal(&packet(5), &mut out),
        Err(SealError::NotAbove {
            sequence: 5,
            last: 5
        })
    );
    sealer.rotate(&material(1, 1, Suite::Aes128Gcm));
    assert_eq!(
        sealer.seal(&packet(4), &mut out),
        Err(SealError::NotAbove {
            sequence: 4,
            last: 5
        })
    );
    assert_eq!(
        sealer.seal(&packet(MAX_SEQUENCE), &mut out),
        Err(SealError::Exhausted)
    );
    assert!(out.is_empty());
}

#[test]
fn who_was_shut_out_cannot_go_on_with_the_old_key() {
    let (old, new) = (
        material(1, 0, Suite::Aes128Gcm),
        material(1, 1, Suite::Aes128Gcm),
    );
    let (mut sealer, mut opener) = (Sealer::new(&old), Opener::new(&old));
    let mut outcast = Sealer::new(&old);
    let late = sealed(&mut sealer, 8);
    opener.open(&mut sealed(&mut sealer, 9)).unwrap();
    sealer.rotate(&new);
    let rotated = sealed(&mut sealer, 10);
    assert_eq!(
        opener.open(&mut rotated.clone()),
        Err(Rejected::Forged),
        "the key is not there yet"
    );
    opener.add(&new);
    opener.open(&mut rotated.clone()).unwrap();
    opener.open(&mut late.clone()).unwrap();
    assert_eq!(
        opener.open(&mut sealed(&mut outcast, 11)),
        Err(Rejected::Forged)
    );
}

#[test]
fn a_secret_makes_other_keys_for_other_sessions_and_epochs() {
    let same_secret = |session, epoch| KeyMaterial {
        secret: [1; 32],
        ..material(session, epoch, Suite::Aes128Gcm)
    };
    let one = sealed(&mut Sealer::new(&same_secret(1, 0)), 1);
    for other in [same_secret(2, 0), same_secret(1, 1)] {
        assert_ne!(one[12..], sealed(&mut Sealer::new(&other), 1)[12..]);
    }
}
