using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>A record that some producer made, and what became known of it.</summary>
internal sealed class ModelRecord
{
    public required int Id { get; init; }
    public required TopicPartition Partition { get; init; }

    /// <summary>Whether its answer, or its being read, promises that it is on the disk.</summary>
    public required bool IsForDisk { get; init; }

    /// <summary>Null outside of transactions.</summary>
    public ModelTransaction? Transaction { get; init; }

    /// <summary>Where it is for good.</summary>
    public Offset? DurableAt { get; set; }
}

internal enum TransactionFate
{
    /// <summary>Nobody was told.</summary>
    Open,
    Committed,
    Aborted,
}

/// <summary>A transaction as its client sees it.</summary>
internal sealed class ModelTransaction
{
    public required string TransactionalId { get; init; }

    /// <summary>The records of which the client was told that they are in the log.</summary>
    public List<ModelRecord> Written { get; } = [];

    /// <summary>What it commits for the group of its client; null: nothing.</summary>
    public long? GroupOffset { get; set; }

    /// <summary>Whether the client has ever asked for a commit: without that nobody may see anything of it.</summary>
    public bool IsCommitAsked { get; set; }

    public TransactionFate Fate { get; private set; }

    public void Decide(TransactionFate fate, string why)
    {
        Require.That(Fate == TransactionFate.Open || Fate == fate, $"a transaction of {TransactionalId} that is {Fate} stays so, and is not {fate}: {why}");
        Require.That(fate != TransactionFate.Committed || IsCommitAsked, $"no transaction of {TransactionalId} is committed that its client did not want to commit: {why}");
        Fate = fate;
        if (fate == TransactionFate.Committed)
        {
            foreach (ModelRecord record in Written)
            {
                record.DurableAt ??= KnownOffsets[record];
            }
        }
    }

    /// <summary>Where the client was told that its records are.</summary>
    public Dictionary<ModelRecord, Offset> KnownOffsets { get; } = [];
}

/// <summary>Everything that clients were told, kept without the broker's help.</summary>
internal sealed class BrokerModel
{
    private readonly Dictionary<TopicPartition, ModelPartition> _partitions;
    private readonly List<ModelRecord> _records = [];
    private readonly List<ModelTransaction> _transactions = [];

    public BrokerModel(IEnumerable<TopicPartition> partitions) => _partitions = partitions.ToDictionary(static partition => partition, partition => new ModelPartition(partition, this));

    public IReadOnlyCollection<ModelPartition> Partitions => _partitions.Values;

    public IReadOnlyList<ModelTransaction> Transactions => _transactions;

    public List<ModelGroup> Groups { get; } = [];

    /// <summary>Records of which it is known where they are.</summary>
    public int AcknowledgedCount { get; set; }

    public ModelPartition this[TopicPartition partition] => _partitions[partition];

    public ModelRecord NewRecord(TopicPartition partition, bool isForDisk, ModelTransaction? transaction = null)
    {
        ModelRecord record = new() { Id = _records.Count, Partition = partition, IsForDisk = isForDisk, Transaction = transaction };
        _records.Add(record);
        return record;
    }

    public ModelGroup NewGroup(string id, TopicPartition partition)
    {
        ModelGroup group = new() { Id = id, Partition = partition };
        Groups.Add(group);
        return group;
    }

    public ModelTransaction NewTransaction(string transactionalId)
    {
        ModelTransaction transaction = new() { TransactionalId = transactionalId };
        _transactions.Add(transaction);
        return transaction;
    }

    public ModelRecord Find(int id)
    {
        Require.That(id >= 0 && id < _records.Count, $"a record {id} was sent");
        return _records[id];
    }

    public IEnumerable<ModelRecord> RecordsOf(TopicPartition partition) => _records.Where(record => record.Partition == partition);
}
