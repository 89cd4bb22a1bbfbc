using System.Text;

namespace Millrace.LoadTest.Librdkafka;

/// <summary>A producer or consumer of librdkafka, on one partition of one topic.</summary>
internal sealed unsafe class NativeClient : IDisposable
{
    private const int Partition = 0;
    private const int MessagesPerCall = 10_000;

    private readonly nint _client;
    private readonly nint _topic;

    public NativeClient(int kind, string topic, IReadOnlyDictionary<string, string> settings)
    {
        nint configuration = Native.NewConfiguration();
        byte* errorText = stackalloc byte[Native.ErrorTextByteCount];
        foreach ((string name, string value) in settings)
        {
            if (Native.Set(configuration, name, value, errorText, Native.ErrorTextByteCount) != Native.NoError)
            {
                throw new ArgumentException(Text(errorText), nameof(settings));
            }
        }

        _client = Native.NewClient(kind, configuration, errorText, Native.ErrorTextByteCount);
        if (_client == 0)
        {
            throw new InvalidOperationException(Text(errorText));
        }

        _topic = Native.NewTopic(_client, topic, 0);
    }

    /// <summary>Produces the same payload again and again, and returns when all of it is acknowledged.</summary>
    public void Produce(byte[] payload, long count)
    {
        fixed (byte* bytes = payload)
        {
            for (long number = 0; number < count;)
            {
                if (Native.Produce(_topic, Partition, Native.CopyPayload, bytes, (nuint)payload.Length, null, 0, 0) == 0)
                {
                    number++;
                }
                else if (Native.LastError() == Native.QueueFull)
                {
                    // What is acknowledged leaves the queue in the background; there is nobody to be told.
                    Native.Poll(_client, 5);
                }
                else
                {
                    throw new InvalidOperationException($"librdkafka refuses to produce with error {Native.LastError()}.");
                }
            }
        }

        if (Native.Flush(_client, 120_000) != Native.NoError || Native.QueueLength(_client) != 0)
        {
            throw new TimeoutException($"{Native.QueueLength(_client)} messages are not acknowledged.");
        }
    }

    /// <summary>Consumes from the beginning, and returns the bytes of so many messages.</summary>
    public long Consume(long count)
    {
        Native.StartConsuming(_topic, Partition, 0);
        Native.Message*[] messages = new Native.Message*[MessagesPerCall];
        long byteCount = 0;
        fixed (Native.Message** slots = messages)
        {
            for (long consumed = 0; consumed < count;)
            {
                nint got = Native.ConsumeBatch(_topic, Partition, 1000, slots, MessagesPerCall);
                for (nint slot = 0; slot < got; slot++)
                {
                    Native.Message* message = slots[slot];
                    if (message->Error == Native.NoError)
                    {
                        consumed++;
                        byteCount += (long)message->ByteCount;
                    }

                    Native.Destroy(message);
                }
            }
        }

        Native.StopConsuming(_topic, Partition);
        return byteCount;
    }

    /// <summary>Begins to fetch, from the beginning.</summary>
    public void Start() => Native.StartConsuming(_topic, Partition, 0);

    public void Stop() => Native.StopConsuming(_topic, Partition);

    public void ProduceOne(byte[] payload)
    {
        fixed (byte* bytes = payload)
        {
            if (Native.Produce(_topic, Partition, Native.CopyPayload, bytes, (nuint)payload.Length, null, 0, 0) != 0)
            {
                throw new InvalidOperationException($"librdkafka refuses to produce with error {Native.LastError()}.");
            }
        }
    }

    public void ConsumeOne()
    {
        const int timeoutMilliseconds = 10_000;
        Native.Message* message = Native.ConsumeOne(_topic, Partition, timeoutMilliseconds);
        int error = message == null ? Native.LastError() : message->Error;
        if (message != null)
        {
            Native.Destroy(message);
        }

        if (error != Native.NoError)
        {
            throw new InvalidOperationException($"librdkafka consumes no message: error {error}.");
        }
    }

    public void Dispose()
    {
        Native.DestroyTopic(_topic);
        Native.DestroyClient(_client);
    }

    private static string Text(byte* bytes)
    {
        int length = 0;
        while (bytes[length] != 0)
        {
            length++;
        }

        return Encoding.UTF8.GetString(bytes, length);
    }
}
