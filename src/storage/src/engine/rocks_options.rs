//! Every RocksDB setting, and why it has its value. Two profiles: the log (synced, short-lived
//! records) and the state (never synced, replayed from the log).

use crate::Family;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel,
    Options,
};

/// What a database is for.
#[derive(Clone, Debug)]
pub(crate) enum Profile {
    /// Numbered records: every write goes to the write-ahead log and most are synced.
    Log,
    /// The state: no write-ahead log, durable by flush alone.
    State {
        /// Memory a family may fill before all families are flushed.
        write_buffer_bytes: usize,
    },
}

/// Also the size of a write-ahead log file, all of which are laid out at opening: a moment of writing.
pub(super) const LOG_WRITE_BUFFER_BYTES: usize = 16 << 20;
/// Two: one being written, one being flushed. More would only hide a disk that is too slow.
const WRITE_BUFFERS_MAX: i32 = 2;
/// Flush and compaction threads together; the target machine has two cores and serves meanwhile.
const BACKGROUND_JOBS: i32 = 2;
/// Write-ahead log files kept for overwriting: the one in use plus one in reserve.
pub(super) const RECYCLED_LOG_FILES: usize = 2;
/// RocksDB's own diary: enough to see the last start, not enough to matter.
const INFO_LOG_BYTES: usize = 1 << 20;
const INFO_LOG_FILES: usize = 2;
/// Smooths write-back, so that a flush does not delay the next sync of the log.
const BYTES_PER_SYNC: u64 = 1 << 20;
/// A compromise between the index kept in memory and the bytes read for one key.
const BLOCK_BYTES: usize = 8 << 10;
/// Piece of an index or filter that is loaded at once.
const METADATA_BLOCK_BYTES: usize = 4 << 10;
/// About 1 % false positives, 1.25 bytes a key.
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// Share of a write buffer given to its own bloom filter: most keys a command looks up are not in
/// the buffer, and the filter is cheaper than a search of it.
const BUFFER_BLOOM_RATIO: f64 = 0.02;

/// The cache of table blocks, shared by both databases, so that one number bounds it.
pub(crate) fn block_cache(bytes: usize) -> Cache {
    Cache::new_lru_cache(bytes)
}

pub(crate) fn database_options(profile: &Profile) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // All families reach the disk together: the applied position never without its change, and no
    // write-ahead log file is held back by a family that is rarely written.
    options.set_atomic_flush(true);
    // Files are deleted by background threads, not by the reader that held them last.
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_max_subcompactions(1);
    options.set_bytes_per_sync(BYTES_PER_SYNC);
    // One writer thread each: nobody to wait for, so no spinning.
    options.set_enable_write_thread_adaptive_yield(false);
    options.set_allow_concurrent_memtable_write(false);
    // Opening must not read every table.
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(INFO_LOG_BYTES);
    options.set_keep_log_file_num(INFO_LOG_FILES);
    options.set_max_manifest_file_size(4 << 20);
    if let Profile::Log = profile {
        // Overwriting an old file leaves its size alone, so a sync writes data and no metadata.
        options.set_recycle_log_file_num(RECYCLED_LOG_FILES);
        // A torn tail is what a power failure leaves. That it cut nothing promised is checked
        // against the watermark in the identity file.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    }
    options
}

pub(crate) fn family_options(profile: &Profile, family: Family, cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(BLOCK_BYTES);
    // Index and filter live in the cache too, so that its size bounds all table memory.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_format_version(6);
    // With whole index and filter blocks, a random read of a state larger than the cache reloads
    // hundreds of kilobytes to find one key: 1 M keys cost 239 us a read, in small pieces 9 us.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_metadata_block_size(METADATA_BLOCK_BYTES);
    table.set_pin_top_level_index_and_filter(true);

    let mut options = Options::default();
    options.set_max_write_buffer_number(WRITE_BUFFERS_MAX);
    options.set_level_compaction_dynamic_level_bytes(true);
    match profile {
        Profile::Log => {
            // Short-lived and already compact: compression would cost CPU on every flush.
            options.set_compression_type(DBCompressionType::None);
            options.set_write_buffer_size(LOG_WRITE_BUFFER_BYTES);
        }
        Profile::State { write_buffer_bytes } => {
            table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
            table.set_whole_key_filtering(true);
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(BUFFER_BLOOM_RATIO);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_write_buffer_size(*write_buffer_bytes);
        }
    }
    options.set_block_based_table_factory(&table);
    log::debug!("family {} opened as {profile:?}", family.0);
    options
}
