//! How many allocations this process has made.

/// Counts, and leaves the rest to the system's allocator.
#[cfg(feature = "allocations")]
#[global_allocator]
static COUNTING: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Allocations and reallocations so far; none are seen without the feature.
pub fn allocations() -> u64 {
    #[cfg(feature = "allocations")]
    {
        let stats = COUNTING.stats();
        (stats.allocations + stats.reallocations) as u64
    }
    #[cfg(not(feature = "allocations"))]
    0
}
