namespace Millrace.Kafka.Records;

/// <summary>The position of a record in a partition, counted from zero.</summary>
public readonly record struct Offset(long Value) : IComparable<Offset>
{
    public static readonly Offset Zero = new(0);

    public Offset Next => new(Value + 1);

    public static bool operator <(Offset left, Offset right) => left.Value < right.Value;
    public static bool operator >(Offset left, Offset right) => left.Value > right.Value;
    public static bool operator <=(Offset left, Offset right) => left.Value <= right.Value;
    public static bool operator >=(Offset left, Offset right) => left.Value >= right.Value;
    public static Offset operator +(Offset offset, long count) => new(offset.Value + count);
    public static long operator -(Offset left, Offset right) => left.Value - right.Value;

    public static Offset Min(Offset left, Offset right) => left < right ? left : right;
    public static Offset Max(Offset left, Offset right) => left > right ? left : right;

    public int CompareTo(Offset other) => Value.CompareTo(other.Value);

    public override string ToString() => Value.ToString();
}

/// <summary>One partition of a topic. Written as Kafka names its directories: <c>orders-3</c>.</summary>
public readonly record struct TopicPartition(string Topic, int Partition)
{
    /// <summary>By topic, then by number: an order that is the same in every process, as that of a hash table is not.</summary>
    public static IComparer<TopicPartition> Order { get; } = Comparer<TopicPartition>.Create(static (left, right) =>
        string.CompareOrdinal(left.Topic, right.Topic) is var byTopic and not 0 ? byTopic : left.Partition.CompareTo(right.Partition));

    public override string ToString() => $"{Topic}-{Partition}";
}

/// <summary>The identity of an idempotent producer: an id handed out by the broker, and how often it was renewed.</summary>
public readonly record struct ProducerIdentity(long Id, short Epoch)
{
    /// <summary>A producer without identity: its batches carry no sequence and are never recognised as duplicates.</summary>
    public static readonly ProducerIdentity None = new(-1, -1);

    public bool IsNone => Id < 0;
}
