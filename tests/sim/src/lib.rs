//! A LAN in memory with a virtual clock, to run multicast sessions by seed.
