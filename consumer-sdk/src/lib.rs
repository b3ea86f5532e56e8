//! Reads the page counts that vmmload publishes in shared memory.
