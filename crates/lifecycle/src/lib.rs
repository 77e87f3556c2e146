//! The life of a task as a pure state machine. No clocks, files, sockets or async: time is an argument.
