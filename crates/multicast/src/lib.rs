//! Multicast of an image to many machines: sender and receiver as pure state machines.
