using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>A record as its producer knows it.</summary>
/// <param name="session">Producers that followed each other are different ones.</param>
internal sealed class ClientRecord(int id, TopicPartition partition, int session, ClientTransaction? transaction)
{
    public int Id => id;

    public TopicPartition Partition => partition;

    public int Session => session;

    public ClientTransaction? Transaction => transaction;

    /// <summary>Its call said so.</summary>
    public bool IsAcknowledged { get; set; }

    /// <summary>Unknown if the broker did not remember it any more.</summary>
    public Offset? Offset { get; set; }
}

/// <summary>A transaction as its producer knows it.</summary>
internal sealed class ClientTransaction
{
    public List<ClientRecord> Records { get; } = [];

    /// <summary>Its end was wanted, whether or not there was an answer.</summary>
    public bool IsCommitAsked { get; set; }

    public TransactionFate Fate { get; set; }
}

/// <summary>What was read, in order, by one who had the partition all the time.</summary>
/// <param name="isCommitted">Whether it reads nothing else.</param>
internal sealed class ClientReading(TopicPartition partition, bool isCommitted)
{
    public TopicPartition Partition => partition;

    public bool IsCommitted => isCommitted;

    public List<(Offset Offset, int Id)> Records { get; } = [];

    /// <summary>Where it may begin at the earliest: what was committed by then.</summary>
    public long Floor { get; init; }

    public void Add(Offset offset, int id)
    {
        if (Records.Count == 0 ? offset.Value < Floor : offset <= Records[^1].Offset)
        {
            Require.That(false, $"a reader of {partition} goes on behind {(Records.Count == 0 ? Floor - 1 : Records[^1].Offset.Value)}, and does not get {offset}");
        }

        Records.Add((offset, id));
    }
}

/// <summary>A consumer group as its members know it.</summary>
internal sealed class ClientGroup(string name)
{
    private readonly Dictionary<(int Generation, TopicPartition Partition), string> _owners = [];

    public string Name => name;

    /// <summary>The furthest offset of which a member was told that it is committed.</summary>
    public Dictionary<TopicPartition, long> Acknowledged { get; } = [];

    /// <summary>The furthest offset that a member has read up to and wanted to commit.</summary>
    public Dictionary<TopicPartition, long> Asked { get; } = [];

    public void Ask(TopicPartition partition, long offset) => Asked[partition] = Math.Max(Asked.GetValueOrDefault(partition), offset);

    public void Acknowledge(TopicPartition partition, long offset) => Acknowledged[partition] = Math.Max(Acknowledged.GetValueOrDefault(partition), offset);

    public void Own(int generation, string member, IEnumerable<TopicPartition> partitions)
    {
        foreach (TopicPartition partition in partitions)
        {
            string owner = _owners.GetValueOrDefault((generation, partition), member);
            Require.That(owner == member, $"{partition} belongs to one member of generation {generation} of {name}, not to {owner} and {member}");
            _owners[(generation, partition)] = member;
        }
    }
}

/// <summary>What the clients of a simulation were told.</summary>
internal sealed class ClientModel
{
    private int _lastSession;

    public List<ClientRecord> Records { get; } = [];

    public List<ClientTransaction> Transactions { get; } = [];

    public List<ClientReading> Readings { get; } = [];

    /// <summary>Reads <see cref="ClientSimulation.Orders"/> and does nothing but commit.</summary>
    public ClientGroup Readers { get; } = new("readers");

    /// <summary>Reads <see cref="ClientSimulation.Orders"/>, and writes what it makes of it.</summary>
    public ClientGroup Workers { get; } = new("workers");

    public int NewSession() => ++_lastSession;

    public ClientRecord NewRecord(TopicPartition partition, int session, ClientTransaction? transaction = null)
    {
        var record = new ClientRecord(Records.Count, partition, session, transaction);
        Records.Add(record);
        transaction?.Records.Add(record);
        return record;
    }

    public ClientTransaction NewTransaction()
    {
        var transaction = new ClientTransaction();
        Transactions.Add(transaction);
        return transaction;
    }

    public ClientReading NewReading(TopicPartition partition, bool isCommitted, long floor = 0)
    {
        var reading = new ClientReading(partition, isCommitted) { Floor = floor };
        Readings.Add(reading);
        return reading;
    }
}
