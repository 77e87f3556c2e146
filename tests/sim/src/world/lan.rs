//! The switch and what is behind it.

use std::rc::Rc;

use super::{Event, World};
use crate::clock::Nanos;
use crate::network::DATAGRAM_OVERHEAD;
use crate::world::unicast::{SEGMENT_OVERHEAD, Segment};

/// How long QUIC takes to notice a loss and to repeat.
const REPEAT: Nanos = Nanos::millis(20);

impl World {
    /// A datagram for the group is copied to every machine that listens.
    pub(super) fn at_switch(&mut self, datagram: &Rc<[u8]>) {
        let now = self.agenda.now();
        let bytes = datagram.len() + DATAGRAM_OVERHEAD;
        for trunk in 0..self.trunks.len() {
            let (pipe, loss) = &mut self.trunks[trunk];
            let lost = loss.loses(now, &mut self.rng);
            let Some(out) = pipe.offer(now, bytes).filter(|_| !lost) else {
                continue;
            };
            for index in 0..self.machines.len() {
                let machine = &mut self.machines[index];
                if usize::from(machine.shape.trunk) != trunk || !machine.is_listening() {
                    continue;
                }
                for arrival in machine.cable.carry(out, bytes).into_iter().flatten() {
                    let datagram = Rc::clone(datagram);
                    self.agenda.at(
                        arrival.at,
                        Event::Arrives {
                            machine: index,
                            datagram,
                            garbled: arrival.garbled,
                        },
                    );
                }
            }
        }
    }

    /// A segment of a machine's connection goes on to its port, or is lost because a queue is full
    /// or the cable is cut.
    pub(super) fn segment_at_switch(&mut self, index: usize, life: u32, segment: Segment) {
        let now = self.agenda.now();
        let bytes = segment.bytes as usize + SEGMENT_OVERHEAD;
        let machine = &mut self.machines[index];
        let whole = machine.cable.whole_from(now);
        let out = self.trunks[usize::from(machine.shape.trunk)]
            .0
            .offer(now, bytes)
            .filter(|_| whole == now);
        match out.and_then(|out| machine.cable.carry_unicast(out, bytes)) {
            Some(at) => self.agenda.at(
                at,
                Event::SegmentArrives {
                    machine: index,
                    life,
                    segment,
                },
            ),
            None => self.agenda.at(
                whole + REPEAT,
                Event::SegmentLost {
                    machine: index,
                    life,
                    segment,
                },
            ),
        }
    }

    pub(super) fn segment_arrives(&mut self, index: usize, life: u32, segment: Segment) {
        let now = self.agenda.now();
        let machine = &mut self.machines[index];
        if machine.life != life {
            return;
        }
        let back = machine.cable.one_way();
        let wish = machine.segment(&self.payload, segment.chunk, segment.bytes, now);
        if let Some(wish) = wish {
            self.grant(index, wish);
        }
        self.agenda.after(
            back,
            Event::SegmentDone {
                machine: index,
                life,
            },
        );
    }
}
