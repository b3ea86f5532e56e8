//! Preload library that hands a starting process over to vmmload.
