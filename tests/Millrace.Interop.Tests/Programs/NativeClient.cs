using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace Millrace.Interop.Tests.Programs;

/// <summary>A client of librdkafka refused something; <see cref="IsFatal"/> says whether the client is of any use still.</summary>
internal sealed class NativeClientException(string error, string message, bool isFatal = false) : Exception($"{error}: {message}")
{
    /// <summary>librdkafka's name of the error, which is Kafka's without its prefix.</summary>
    public string Error { get; } = error;

    public bool IsFatal { get; } = isFatal;
}

/// <summary>What the producer and the consumer of librdkafka have in common: a handle, and errors that become exceptions.</summary>
internal abstract class NativeClient : IDisposable
{
    private const int ErrorTextSize = 512;

    /// <summary>Time for one call; it only turns a hang into a failure.</summary>
    protected const int CallMilliseconds = 30_000;

    protected NativeClient(int type, StandaloneBroker broker, IEnumerable<(string Name, string Value)> settings, int events = 0)
    {
        nint configuration = Librdkafka.NewConfiguration();
        byte[] error = new byte[ErrorTextSize];
        foreach ((string name, string value) in settings.Prepend(("bootstrap.servers", broker.Address)))
        {
            Assert.True(Librdkafka.Set(configuration, name, value, error, ErrorTextSize) == 0, Text(error));
        }

        if (events != 0)
        {
            Librdkafka.SetEvents(configuration, events);
        }

        Handle = Librdkafka.New(type, configuration, error, ErrorTextSize);
        Assert.True(Handle != 0, Text(error));
    }

    protected nint Handle { get; }

    /// <summary>Ends the client without a word to the broker, as far as the library can.</summary>
    public virtual void Dispose() => Librdkafka.Destroy(Handle);

    protected static void Check(int error)
    {
        if (error != 0)
        {
            throw new NativeClientException(NameOf(error), "the call failed");
        }
    }

    /// <summary>An error object, which is null where there is none.</summary>
    protected static void CheckError(nint error)
    {
        if (error == 0)
        {
            return;
        }

        NativeClientException failure = new(
            NameOf(Librdkafka.ErrorCode(error)), Marshal.PtrToStringUTF8(Librdkafka.ErrorText(error)) ?? "", Librdkafka.IsFatal(error) != 0);
        Librdkafka.DestroyError(error);
        throw failure;
    }

    protected static string NameOf(int error) => Marshal.PtrToStringUTF8(Librdkafka.NameOf(error)) ?? $"{error}";

    private static string Text(byte[] error) => Encoding.UTF8.GetString(error).TrimEnd('\0');
}

/// <summary>librdkafka's producer, idempotent and transactional where the settings say so.</summary>
internal sealed class NativeProducer(StandaloneBroker broker, params (string Name, string Value)[] settings)
    : NativeClient(Librdkafka.Producer, broker, settings, Librdkafka.DeliveryEvents)
{
    public void InitTransactions() => CheckError(Librdkafka.InitTransactions(Handle, CallMilliseconds));

    public void BeginTransaction() => CheckError(Librdkafka.BeginTransaction(Handle));

    public void CommitTransaction() => CheckError(Librdkafka.CommitTransaction(Handle, CallMilliseconds));

    public void AbortTransaction() => CheckError(Librdkafka.AbortTransaction(Handle, CallMilliseconds));

    public void SendOffsets(NativeConsumer consumer, string topic, int partition, long offset)
    {
        nint offsets = Librdkafka.NewPartitions(1);
        nint group = consumer.NewGroupMetadata();
        Librdkafka.AddPartition(offsets, topic, partition);
        Librdkafka.SetOffset(offsets, topic, partition, offset);
        nint error = Librdkafka.SendOffsetsToTransaction(Handle, offsets, group, CallMilliseconds);
        Librdkafka.DestroyGroupMetadata(group);
        Librdkafka.DestroyPartitions(offsets);
        CheckError(error);
    }

    public void Produce(string topic, string value, int partition = 0)
    {
        nint handle = Librdkafka.NewTopic(Handle, topic, configuration: 0);
        byte[] payload = Encoding.UTF8.GetBytes(value);
        int failed = Librdkafka.Produce(handle, partition, Librdkafka.CopyPayload, payload, (nuint)payload.Length, key: null, keySize: 0, opaque: 0);
        int error = failed == 0 ? 0 : Librdkafka.LastError();
        Librdkafka.DestroyTopic(handle);
        Check(error);
    }

    /// <summary>
    /// Waits until as many records are answered, and fails with the first that was not taken. A transaction ends only when all of its
    /// records have been waited for.
    /// </summary>
    public void WaitForDeliveries(int count)
    {
        nint queue = Librdkafka.MainQueue(Handle);
        try
        {
            Stopwatch waited = Stopwatch.StartNew();
            while (count > 0)
            {
                Assert.True(waited.Elapsed < RunningProgram.Deadline, $"{count} records are not answered after {waited.Elapsed}.");
                nint happened = Librdkafka.PollQueue(queue, 100);
                count -= CountDelivered(happened);
            }
        }
        finally
        {
            Librdkafka.DestroyQueue(queue);
        }
    }

    private static int CountDelivered(nint happened)
    {
        int count = 0;
        int firstError = 0;
        while (happened != 0 && Librdkafka.NextMessage(happened) is var message and not 0)
        {
            count++;
            int error = Marshal.PtrToStructure<Librdkafka.Message>(message).Error;
            firstError = firstError == 0 ? error : firstError;
        }

        if (happened != 0)
        {
            Librdkafka.DestroyEvent(happened);
        }

        Check(firstError);
        return count;
    }
}

/// <summary>One record as a consumer of librdkafka got it.</summary>
internal sealed record NativeRecord(int Partition, long Offset, string Value);

/// <summary>librdkafka's consumer in a group. One thread polls it.</summary>
internal sealed class NativeConsumer : NativeClient
{
    private bool _isClosed;

    public NativeConsumer(StandaloneBroker broker, string topic, params (string Name, string Value)[] settings)
        : base(Librdkafka.Consumer, broker, [("auto.offset.reset", "earliest"), .. settings])
    {
        Check(Librdkafka.PollSetConsumer(Handle));
        nint topics = Librdkafka.NewPartitions(1);
        Librdkafka.AddPartition(topics, topic, Librdkafka.AnyPartition);
        int error = Librdkafka.Subscribe(Handle, topics);
        Librdkafka.DestroyPartitions(topics);
        Check(error);
    }

    public IReadOnlyList<int> Assignment
    {
        get
        {
            Check(Librdkafka.Assignment(Handle, out nint partitions));
            int[] numbers = [.. Elements(partitions).Select(element => element.Partition).Order()];
            Librdkafka.DestroyPartitions(partitions);
            return numbers;
        }
    }

    public nint NewGroupMetadata() => Librdkafka.GroupMetadata(Handle);

    /// <summary>The next record, if one comes in a moment. Errors that pass by themselves are passed over.</summary>
    public NativeRecord? Poll(int milliseconds = 100)
    {
        nint pointer = Librdkafka.Poll(Handle, milliseconds);
        if (pointer == 0)
        {
            return null;
        }

        Librdkafka.Message message = Marshal.PtrToStructure<Librdkafka.Message>(pointer);
        NativeRecord? record = message.Error == 0
            ? new NativeRecord(message.Partition, message.Offset, Marshal.PtrToStringUTF8(message.Payload, (int)message.PayloadSize))
            : null;
        Librdkafka.DestroyMessage(pointer);
        return record;
    }

    /// <summary>Polls until the condition holds over everything that was read meanwhile.</summary>
    public List<NativeRecord> PollUntil(string what, Func<List<NativeRecord>, bool> condition)
    {
        List<NativeRecord> records = [];
        Stopwatch waited = Stopwatch.StartNew();
        while (!condition(records))
        {
            Assert.True(waited.Elapsed < RunningProgram.Deadline, $"Not {what} after {waited.Elapsed}; {records.Count} records came.");
            if (Poll() is { } record)
            {
                records.Add(record);
            }
        }

        return records;
    }

    /// <summary>The committed offset of a partition; below 0 where there is none.</summary>
    public long Committed(string topic, int partition)
    {
        nint partitions = Librdkafka.NewPartitions(1);
        Librdkafka.AddPartition(partitions, topic, partition);
        int error = Librdkafka.Committed(Handle, partitions, CallMilliseconds);
        long offset = Elements(partitions).Single().Offset;
        Librdkafka.DestroyPartitions(partitions);
        Check(error);
        return offset;
    }

    /// <summary>Commits, and leaves the group unless it is a static member.</summary>
    public void Close()
    {
        _isClosed = true;
        Check(Librdkafka.Close(Handle));
    }

    public override void Dispose()
    {
        if (!_isClosed)
        {
            Close();
        }

        base.Dispose();
    }

    private static IEnumerable<Librdkafka.PartitionElement> Elements(nint partitions)
    {
        Librdkafka.PartitionList list = Marshal.PtrToStructure<Librdkafka.PartitionList>(partitions);
        return Enumerable.Range(0, list.Count)
            .Select(index => Marshal.PtrToStructure<Librdkafka.PartitionElement>(list.Elements + (index * Marshal.SizeOf<Librdkafka.PartitionElement>())));
    }
}
