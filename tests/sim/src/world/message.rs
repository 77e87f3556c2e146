//! What machines and their agent say to each other beside the group.

use std::rc::Rc;

use foghorn_multicast::{ChunkSet, KeyMaterial};

/// From a machine.
#[derive(Clone, Debug)]
pub(super) enum ToAgent {
    /// Let me in; these are the chunks that I lack.
    Join(ChunkSet),
    /// An encoded report; a datagram.
    Report(Vec<u8>),
    /// These chunks are right.
    Have(ChunkSet),
    /// Send me these over the connection.
    Fetch(ChunkSet),
    /// I do not listen any more.
    Leave,
}

/// From the agent.
#[derive(Clone, Debug)]
pub(super) enum ToMachine {
    /// You are in; this is the key.
    Joined(Rc<KeyMaterial>),
    /// A further key.
    Key(Rc<KeyMaterial>),
    /// Fetch these over the connection: they will not come by the group any more.
    Unicast(ChunkSet),
    /// Go on by unicast with all that is left: you are not, or no longer, in the session.
    Demoted,
    /// Nothing more will come for you.
    Finished,
    /// You did not answer; join again if you can.
    Dropped,
}
