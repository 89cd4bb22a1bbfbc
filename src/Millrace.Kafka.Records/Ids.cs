namespace Millrace.Kafka.Records;

/// <summary>The position of a record in a partition, counted from zero.</summary>
/// <param name="Value">The number; where a call takes an offset that is not known yet, a negative one says so.</param>
public readonly record struct Offset(long Value) : IComparable<Offset>
{
    /// <summary>The offset of a partition's first record.</summary>
    public static readonly Offset Zero = new(0);

    /// <summary>The offset after this one: what is committed once the record here is done.</summary>
    public Offset Next => new(Value + 1);

    /// <summary>Whether one record lies before another.</summary>
    public static bool operator <(Offset left, Offset right) => left.Value < right.Value;
    /// <summary>Whether one record lies after another.</summary>
    public static bool operator >(Offset left, Offset right) => left.Value > right.Value;
    /// <summary>Whether one record lies before another, or is it.</summary>
    public static bool operator <=(Offset left, Offset right) => left.Value <= right.Value;
    /// <summary>Whether one record lies after another, or is it.</summary>
    public static bool operator >=(Offset left, Offset right) => left.Value >= right.Value;
    /// <summary>So many records further on.</summary>
    public static Offset operator +(Offset offset, long count) => new(offset.Value + count);
    /// <summary>How many offsets lie between two; of a log with gaps, such as a compacted one, more than records.</summary>
    public static long operator -(Offset left, Offset right) => left.Value - right.Value;

    /// <summary>The earlier of two.</summary>
    public static Offset Min(Offset left, Offset right) => left < right ? left : right;
    /// <summary>The later of two.</summary>
    public static Offset Max(Offset left, Offset right) => left > right ? left : right;

    /// <inheritdoc/>
    public int CompareTo(Offset other) => Value.CompareTo(other.Value);

    /// <summary>The number.</summary>
    public override string ToString() => Value.ToString();
}

/// <summary>One partition of a topic. Written as Kafka names its directories: <c>orders-3</c>.</summary>
/// <param name="Topic">The topic's name.</param>
/// <param name="Partition">The partition's number, from 0 on.</param>
public readonly record struct TopicPartition(string Topic, int Partition)
{
    /// <summary>By topic, then by number: an order that is the same in every process, as that of a hash table is not.</summary>
    public static IComparer<TopicPartition> Order { get; } = Comparer<TopicPartition>.Create(static (left, right) =>
        string.CompareOrdinal(left.Topic, right.Topic) is var byTopic and not 0 ? byTopic : left.Partition.CompareTo(right.Partition));

    /// <summary>Topic and number, with a hyphen between them.</summary>
    public override string ToString() => $"{Topic}-{Partition}";
}

/// <summary>The identity of an idempotent producer: an id handed out by the broker, and how often it was renewed.</summary>
/// <param name="Id">The producer id; -1 for none.</param>
/// <param name="Epoch">How often it was renewed; -1 for none.</param>
public readonly record struct ProducerIdentity(long Id, short Epoch)
{
    /// <summary>A producer without identity: its batches carry no sequence and are never recognised as duplicates.</summary>
    public static readonly ProducerIdentity None = new(-1, -1);

    /// <summary>Whether it is no identity.</summary>
    public bool IsNone => Id < 0;
}
