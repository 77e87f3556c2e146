//! Three controllers behind one address: nobody notices that one is restarted, hangs, or has a wrong
//! clock.

mod hangs;
mod load;
mod machines;
mod pages;
mod rolling;
