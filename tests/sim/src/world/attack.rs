//! Somebody on the LAN who does not have the key.

use std::rc::Rc;

use super::{Event, World};
use crate::clock::Nanos;

impl World {
    /// Sends one packet: noise, a copy, a cut copy, or one with bits changed.
    pub(super) fn attack(&mut self) {
        let heard = self
            .overheard
            .clone()
            .unwrap_or_else(|| Rc::from([0_u8; 64].as_slice()));
        let mut packet = heard.to_vec();
        match self.rng.u32(0..5) {
            0 => self.rng.fill(&mut packet),
            1 => {}
            2 => packet.truncate(self.rng.usize(0..packet.len())),
            3 => {
                let at = self.rng.usize(0..packet.len());
                packet[at] ^= self.rng.u8(1..);
            }
            // A number far ahead must not make the receivers take what follows for old.
            _ => packet[11] ^= 0x7f,
        }
        self.at_switch(&Rc::from(packet));
        let pause = 1_000_000_000 / u64::from(self.scenario.attack.per_second.max(1));
        self.agenda.after(Nanos(pause), Event::Attack);
    }
}
