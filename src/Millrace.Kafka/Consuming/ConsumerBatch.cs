using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Records of one partition, lent: they lie in the memory that they were received or decompressed into, and reading them allocates nothing. <see cref="Dispose"/> gives
/// that memory back, and every span and memory that was taken from the records is invalid from then on: copy what is to be kept.
/// </summary>
/// <remarks>
/// Control records and, with <see cref="IsolationLevel.ReadCommitted"/>, records of aborted transactions are not among them. A batch that is never disposed costs its
/// memory until the garbage collector takes it.
/// </remarks>
public readonly struct ConsumerBatch : IDisposable, IEquatable<ConsumerBatch>
{
    private readonly RecordRun? _run;
    private readonly int _token;

    internal ConsumerBatch(RecordRun run)
    {
        _run = run;
        _token = run.Token;
        TopicPartition = run.Partition;
        Count = run.RecordCount;
        NextOffset = run.NextOffset;
        LeaderEpoch = run.LeaderEpoch;
    }

    /// <summary>Where the records were read.</summary>
    public TopicPartition TopicPartition { get; }

    /// <summary>How many records there are; at least one, unless this is the default value.</summary>
    public int Count { get; }

    /// <summary>The offset to commit once all of them are done.</summary>
    public Offset NextOffset { get; }

    /// <summary>The leader epoch to commit with <see cref="NextOffset"/> (KIP-320); -1 if unknown.</summary>
    public int LeaderEpoch { get; }

    /// <summary>What two batches have in common that are the same loan.</summary>
    public static bool operator ==(ConsumerBatch left, ConsumerBatch right) => left.Equals(right);

    /// <summary>Whether they are different loans.</summary>
    public static bool operator !=(ConsumerBatch left, ConsumerBatch right) => !left.Equals(right);

    /// <summary>Walks the records, in offset order. May be walked more than once.</summary>
    /// <exception cref="ObjectDisposedException">The batch was disposed.</exception>
    public RecordViewEnumerator GetEnumerator()
    {
        if (_run is null)
        {
            return default;
        }

        ObjectDisposedException.ThrowIf(_run.Token != _token, typeof(ConsumerBatch));
        return new RecordViewEnumerator(_run.Memory, _run.Cursor);
    }

    /// <summary>Gives the memory back. A second call does nothing.</summary>
    public void Dispose() => _run?.Release(_token);

    /// <inheritdoc/>
    public bool Equals(ConsumerBatch other) => ReferenceEquals(_run, other._run) && _token == other._token;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ConsumerBatch other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_run, _token);
}
