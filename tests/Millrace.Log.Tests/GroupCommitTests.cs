using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class GroupCommitTests
{
    private readonly GroupCommit _commit = new(new Offset(10));

    [Fact]
    public void A_batch_for_the_page_cache_is_visible_at_once_and_asks_for_no_sync()
    {
        Assert.Equal(CommitEffects.Progressed, Append(10, 12, AppendDurability.PageCache));
        AssertState(end: 12, high: 12, synced: 10);
    }

    [Fact]
    public void A_batch_for_the_disk_is_visible_after_its_sync()
    {
        Assert.Equal(CommitEffects.QueueSync, Append(10, 12, AppendDurability.Disk));
        AssertState(end: 12, high: 10, synced: 10);
        Assert.Equal(new Offset(12), _commit.SyncStarted());
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 12, high: 12, synced: 12);
    }

    [Fact]
    public void A_batch_for_the_page_cache_behind_one_for_the_disk_waits_with_it()
    {
        Append(10, 11, AppendDurability.PageCache);
        Append(11, 12, AppendDurability.Disk);
        Assert.Equal(CommitEffects.None, Append(12, 13, AppendDurability.PageCache));
        AssertState(end: 13, high: 11, synced: 10);
        _commit.SyncStarted();
        _commit.SyncSucceeded();
        AssertState(end: 13, high: 13, synced: 13);
    }

    [Fact]
    public void Batches_that_come_while_a_sync_is_queued_share_it()
    {
        Assert.Equal(CommitEffects.QueueSync, Append(10, 11, AppendDurability.Disk));
        Assert.Equal(CommitEffects.None, Append(11, 12, AppendDurability.Disk));
        Assert.Equal(new Offset(12), _commit.SyncStarted());
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 12, high: 12, synced: 12);
    }

    [Fact]
    public void Batches_that_come_while_a_sync_runs_share_the_next()
    {
        Append(10, 11, AppendDurability.Disk);
        _commit.SyncStarted();
        Assert.Equal(CommitEffects.None, Append(11, 12, AppendDurability.Disk));
        Assert.Equal(CommitEffects.None, Append(12, 13, AppendDurability.PageCache));
        Assert.Equal(CommitEffects.None, Append(13, 14, AppendDurability.Disk));
        Assert.Equal(CommitEffects.QueueSync | CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 14, high: 11, synced: 11);
        Assert.Equal(new Offset(14), _commit.SyncStarted());
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 14, high: 14, synced: 14);
    }

    [Fact]
    public void Page_cache_data_that_comes_while_a_sync_runs_is_visible_with_its_end()
    {
        Append(10, 11, AppendDurability.Disk);
        _commit.SyncStarted();
        Append(11, 12, AppendDurability.PageCache);
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 12, high: 12, synced: 11);
        Assert.False(_commit.IsQueued);
    }

    [Fact]
    public void A_sync_is_wanted_only_where_something_is_unsynced()
    {
        Assert.Equal(CommitEffects.None, _commit.SyncWanted());
        Append(10, 11, AppendDurability.PageCache);
        Assert.Equal(CommitEffects.QueueSync, _commit.SyncWanted());
        Assert.Equal(CommitEffects.None, _commit.SyncWanted());
    }

    [Fact]
    public void After_a_failure_nothing_moves()
    {
        Append(10, 11, AppendDurability.Disk);
        _commit.SyncStarted();
        Assert.Equal(CommitEffects.Progressed, _commit.Failed());
        Assert.Equal(CommitEffects.None, Append(11, 12, AppendDurability.Disk));
        Assert.Equal(CommitEffects.None, _commit.SyncWanted());
        AssertState(end: 12, high: 10, synced: 10);
        Assert.Throws<InvalidOperationException>(() => _commit.SyncStarted());
        Assert.Throws<InvalidOperationException>(() => _commit.SyncSucceeded());
    }

    [Fact]
    public void A_sync_by_the_journal_acknowledges_and_stores_nothing()
    {
        Append(10, 12, AppendDurability.Disk);
        _commit.SyncStarted(isStore: false);
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 12, high: 12, synced: 12);
        Assert.Equal(new Offset(10), _commit.StoredOffset);
        Assert.Equal(CommitEffects.None, _commit.SyncWanted());
        Assert.Equal(CommitEffects.QueueSync, _commit.StoreWanted());
        Assert.True(_commit.IsStoreWanted);
        _commit.SyncStarted();
        Assert.False(_commit.IsStoreWanted);
        _commit.SyncSucceeded();
        Assert.Equal(new Offset(12), _commit.StoredOffset);
        Assert.Equal(CommitEffects.None, _commit.StoreWanted());
    }

    [Fact]
    public void What_is_to_be_stored_while_the_journal_has_a_part_of_it_is_queued_after_that()
    {
        Append(10, 12, AppendDurability.Disk);
        _commit.SyncStarted(isStore: false);
        Assert.Equal(CommitEffects.None, _commit.StoreWanted());
        Assert.Equal(CommitEffects.QueueSync | CommitEffects.Progressed, _commit.SyncSucceeded());
        Assert.True(_commit.IsStoreWanted);
    }

    [Fact]
    public void What_the_journal_gives_up_waits_for_the_files()
    {
        Append(10, 12, AppendDurability.Disk);
        _commit.SyncStarted(isStore: false);
        Append(12, 13, AppendDurability.Disk);
        Assert.Equal(CommitEffects.QueueSync, _commit.SyncGivenUp());
        AssertState(end: 13, high: 10, synced: 10);
        Assert.True(_commit.IsStoreWanted);
        _commit.SyncStarted();
        Assert.Equal(CommitEffects.Progressed, _commit.SyncSucceeded());
        AssertState(end: 13, high: 13, synced: 13);
        Assert.Equal(new Offset(13), _commit.StoredOffset);
    }

    [Fact]
    public void Appends_leave_no_gap() =>
        Assert.Throws<InvalidOperationException>(() => Append(11, 12, AppendDurability.Disk));

    private CommitEffects Append(long from, long next, AppendDurability durability) =>
        _commit.Appended(new Offset(from), new Offset(next), durability);

    private void AssertState(long end, long high, long synced)
    {
        Assert.Equal(new Offset(end), _commit.LogEndOffset);
        Assert.Equal(new Offset(high), _commit.HighWatermark);
        Assert.Equal(new Offset(synced), _commit.SyncedOffset);
    }
}
