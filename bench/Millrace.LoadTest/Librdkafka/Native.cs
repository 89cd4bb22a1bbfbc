using System.Runtime.InteropServices;

namespace Millrace.LoadTest.Librdkafka;

/// <summary>The part of librdkafka's C interface (Debian's package librdkafka1) that the scenarios call.</summary>
internal static unsafe partial class Native
{
    public const int Producer = 0;
    public const int Consumer = 1;
    public const int CopyPayload = 2;
    public const int NoError = 0;
    public const int QueueFull = -184;
    public const int ErrorTextByteCount = 512;

    private const string Library = "librdkafka.so.1";

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_new")]
    public static partial nint NewConfiguration();

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_set", StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Set(nint configuration, string name, string value, byte* errorText, nuint errorTextByteCount);

    [LibraryImport(Library, EntryPoint = "rd_kafka_new")]
    public static partial nint NewClient(int kind, nint configuration, byte* errorText, nuint errorTextByteCount);

    [LibraryImport(Library, EntryPoint = "rd_kafka_topic_new", StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint NewTopic(nint client, string topic, nint configuration);

    [LibraryImport(Library, EntryPoint = "rd_kafka_produce")]
    public static partial int Produce(nint topic, int partition, int flags, byte* payload, nuint byteCount, byte* key, nuint keyByteCount, nint opaque);

    [LibraryImport(Library, EntryPoint = "rd_kafka_last_error")]
    public static partial int LastError();

    [LibraryImport(Library, EntryPoint = "rd_kafka_poll")]
    public static partial int Poll(nint client, int timeoutMilliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_flush")]
    public static partial int Flush(nint client, int timeoutMilliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_outq_len")]
    public static partial int QueueLength(nint client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_consume_start")]
    public static partial int StartConsuming(nint topic, int partition, long offset);

    [LibraryImport(Library, EntryPoint = "rd_kafka_consume_batch")]
    public static partial nint ConsumeBatch(nint topic, int partition, int timeoutMilliseconds, Message** messages, nuint count);

    [LibraryImport(Library, EntryPoint = "rd_kafka_consume")]
    public static partial Message* ConsumeOne(nint topic, int partition, int timeoutMilliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_consume_stop")]
    public static partial int StopConsuming(nint topic, int partition);

    [LibraryImport(Library, EntryPoint = "rd_kafka_message_destroy")]
    public static partial void Destroy(Message* message);

    [LibraryImport(Library, EntryPoint = "rd_kafka_topic_destroy")]
    public static partial void DestroyTopic(nint topic);

    [LibraryImport(Library, EntryPoint = "rd_kafka_destroy")]
    public static partial void DestroyClient(nint client);

    /// <summary>rd_kafka_message_t.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Message
    {
        public int Error;
        public nint Topic;
        public int Partition;
        public byte* Payload;
        public nuint ByteCount;
        public byte* Key;
        public nuint KeyByteCount;
        public long Offset;
        public nint Private;
    }
}
