//! The network: what takes how long, what is cut off, and connections, which keep their order and
//! break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Action, World};
use crate::scenario::{Millis, Place};

/// A connection notices within this time that nothing comes through.
const BREAKS_WITHIN: std::ops::Range<Millis> = 1_500..6_000;
/// How often something that cannot get through is sent again.
const AGAIN: Millis = 60;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ConnId(pub(crate) u64);

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum End {
    /// Whoever has opened it.
    Caller,
    Called,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller => Self::Called,
            Self::Called => Self::Caller,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// An agent's link to a controller.
    Link,
    /// A controller hears another one.
    Talk,
    /// A client is served.
    Transfer,
}

struct Way {
    open: bool,
    /// What is under way to this end, with the time at which it arrives.
    queue: VecDeque<(Millis, Action)>,
    pumped: bool,
}

pub(crate) struct Conn {
    pub(crate) purpose: Purpose,
    places: [Place; 2],
    /// To the caller, and to the called.
    ways: [Way; 2],
}

#[derive(Default)]
pub(crate) struct Net {
    cuts: BTreeMap<(Place, Place), u32>,
    conns: BTreeMap<ConnId, Conn>,
    next: u64,
}

fn pair(one: Place, other: Place) -> (Place, Place) {
    (one.min(other), one.max(other))
}

impl Net {
    pub(crate) fn is_cut(&self, one: Place, other: Place) -> bool {
        self.cuts.contains_key(&pair(one, other))
    }

    pub(crate) fn is_open(&self, conn: ConnId, end: End) -> bool {
        let conn = self.conns.get(&conn);
        conn.is_some_and(|conn| conn.ways[end as usize].open)
    }

    /// Those that are open at either end, with a place at that end.
    pub(crate) fn ends_at(&self, place: Place) -> Vec<(ConnId, End)> {
        let ends = self.conns.iter().flat_map(|(id, conn)| {
            let end = |end: End| (conn.places[end as usize] == place).then_some((*id, end));
            [end(End::Caller), end(End::Called)].into_iter().flatten()
        });
        ends.filter(|(id, end)| self.is_open(*id, *end)).collect()
    }

    pub(crate) fn place(&self, conn: ConnId, end: End) -> Option<Place> {
        Some(self.conns.get(&conn)?.places[end as usize])
    }
}

impl World {
    /// How long a message takes now.
    pub(crate) fn delay(&mut self) -> Millis {
        let slow = self.scenario.slow_network && self.random.u8(0..12) == 0;
        if slow {
            self.random.u64(100..900)
        } else {
            self.random.u64(1..25)
        }
    }

    pub(crate) fn connect(&mut self, purpose: Purpose, caller: Place, called: Place) -> ConnId {
        self.net.next += 1;
        let id = ConnId(self.net.next);
        let way = || Way {
            open: true,
            queue: VecDeque::new(),
            pumped: false,
        };
        let conn = Conn {
            purpose,
            places: [caller, called],
            ways: [way(), way()],
        };
        self.net.conns.insert(id, conn);
        id
    }

    /// Sends something from one end; `arrives` is what the other end does with it.
    pub(crate) fn send(
        &mut self,
        id: ConnId,
        from: End,
        arrives: impl FnOnce(&mut World) + 'static,
    ) {
        if !self.net.is_open(id, from) {
            return;
        }
        let at = self.now + self.delay();
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        let way = &mut conn.ways[from.other() as usize];
        // It keeps its order.
        let at = way.queue.back().map_or(at, |(last, _)| at.max(*last));
        way.queue.push_back((at, Box::new(arrives)));
        if !way.pumped {
            way.pumped = true;
            self.at(at, move |world| world.pump(id, from.other()));
        }
    }

    fn pump(&mut self, id: ConnId, to: End) {
        loop {
            let now = self.now;
            let Some(conn) = self.net.conns.get_mut(&id) else {
                return;
            };
            let cut = self
                .net
                .cuts
                .contains_key(&pair(conn.places[0], conn.places[1]));
            let way = &mut conn.ways[to as usize];
            let next = match way.queue.front() {
                None => {
                    way.pumped = false;
                    return;
                }
                Some(_) if cut => now + AGAIN,
                Some((at, _)) if *at > now => *at,
                Some(_) => {
                    let arrived = way.queue.pop_front().filter(|_| way.open);
                    if let Some((_, arrives)) = arrived {
                        arrives(self);
                    }
                    continue;
                }
            };
            return self.at(next, move |world| world.pump(id, to));
        }
    }

    /// One end closes; the other one hears of it, when it can.
    pub(crate) fn close(&mut self, id: ConnId, end: End) {
        if !self.net.is_open(id, end) {
            return;
        }
        self.send(id, end, move |world| world.lose(id, end.other()));
        if let Some(conn) = self.net.conns.get_mut(&id) {
            conn.ways[end as usize].open = false;
        }
        self.forget_closed(id);
    }

    /// The end notices that the connection is over.
    fn lose(&mut self, id: ConnId, end: End) {
        if !self.net.is_open(id, end) {
            return;
        }
        let Some(conn) = self.net.conns.get_mut(&id) else {
            return;
        };
        conn.ways[end as usize].open = false;
        let (purpose, place) = (conn.purpose, conn.places[end as usize]);
        self.forget_closed(id);
        self.lost(purpose, id, place);
    }

    /// One end closes because nothing comes through.
    fn give_up(&mut self, id: ConnId, end: End) {
        if let Some(conn) = self
            .net
            .conns
            .get(&id)
            .filter(|_| self.net.is_open(id, end))
        {
            let (purpose, place) = (conn.purpose, conn.places[end as usize]);
            self.close(id, end);
            self.lost(purpose, id, place);
        }
    }

    fn forget_closed(&mut self, id: ConnId) {
        let conn = self.net.conns.get(&id);
        if conn.is_some_and(|conn| conn.ways.iter().all(|way| !way.open)) {
            self.net.conns.remove(&id);
        }
    }

    /// All that is at a place is gone at once: nobody there says good-bye, and the others get a reset
    /// as soon as they can be reached.
    pub(crate) fn gone(&mut self, place: Place) {
        for (id, end) in self.net.ends_at(place) {
            self.close(id, end);
        }
    }

    pub(crate) fn cut(&mut self, one: Place, other: Place) {
        *self.net.cuts.entry(pair(one, other)).or_default() += 1;
        let ends = self.net.ends_at(one);
        let conns: BTreeSet<ConnId> = ends.into_iter().map(|(id, _)| id).collect();
        for id in conns {
            let Some(conn) = self.net.conns.get(&id) else {
                continue;
            };
            if pair(conn.places[0], conn.places[1]) != pair(one, other) {
                continue;
            }
            for end in [End::Caller, End::Called] {
                let at = self.now + self.random.u64(BREAKS_WITHIN);
                self.at(at, move |world| {
                    if world.net.is_cut(one, other) {
                        world.give_up(id, end);
                    }
                });
            }
        }
    }

    pub(crate) fn mend(&mut self, one: Place, other: Place) {
        if let Some(count) = self.net.cuts.get_mut(&pair(one, other)) {
            *count -= 1;
            if *count == 0 {
                self.net.cuts.remove(&pair(one, other));
            }
        }
    }
}
