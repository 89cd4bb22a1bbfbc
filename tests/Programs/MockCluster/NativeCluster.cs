using System.Runtime.InteropServices;

namespace Millrace.MockCluster;

/// <summary>The mock cluster of librdkafka (rdkafka_mock.h): brokers with ids from 1 on that listen on the loopback interface.</summary>
internal sealed partial class NativeCluster : IDisposable
{
    private const string Library = "librdkafka.so.1";
    private const int ProducerType = 0;
    private const int ErrorTextSize = 512;

    private readonly nint _client;
    private readonly nint _cluster;

    public NativeCluster(int brokerCount)
    {
        byte[] error = new byte[ErrorTextSize];
        _client = NewClient(ProducerType, NewConfiguration(), error, ErrorTextSize);
        if (_client == 0)
        {
            throw new InvalidOperationException("librdkafka makes no client.");
        }

        _cluster = NewCluster(_client, brokerCount);
    }

    public string Bootstraps => Marshal.PtrToStringUTF8(GetBootstraps(_cluster)) ?? "";

    /// <summary>Creates a topic; its name may be in use already.</summary>
    public int CreateTopic(string topic, int partitionCount, int replicationFactor) => CreateTopic(_cluster, topic, partitionCount, replicationFactor);

    /// <summary>Moves a partition to a broker; -1 for none.</summary>
    public int SetLeader(string topic, int partition, int broker) => SetLeader(_cluster, topic, partition, broker);

    /// <summary>Cuts a broker's connections and takes no new ones. No leader moves.</summary>
    public int SetDown(int broker) => SetDown(_cluster, broker);

    public int SetUp(int broker) => SetUp(_cluster, broker);

    /// <summary>Delays a broker's answers: what it was asked is done at once.</summary>
    public int SetRoundTrip(int broker, int milliseconds) => SetRoundTrip(_cluster, broker, milliseconds);

    /// <summary>Answers the next requests of an API with errors; -195 closes the connection in place of an answer, and nothing is done.</summary>
    public int PushErrors(short api, int[] errors)
    {
        PushErrors(_cluster, api, (nuint)errors.Length, errors);
        return 0;
    }

    /// <summary>The same, of one broker, with a delay.</summary>
    public int PushError(int broker, short api, int error, int milliseconds) => PushError(_cluster, broker, api, count: 1, error, milliseconds);

    public int ClearErrors(short api)
    {
        ClearErrors(_cluster, api);
        return 0;
    }

    public int SetCoordinator(string kind, string key, int broker) => SetCoordinator(_cluster, kind, key, broker);

    public int SetVersions(short api, short lowest, short highest) => SetVersions(_cluster, api, lowest, highest);

    public void Dispose()
    {
        DestroyCluster(_cluster);
        DestroyClient(_client);
    }

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_new")]
    private static partial nint NewConfiguration();

    [LibraryImport(Library, EntryPoint = "rd_kafka_new")]
    private static partial nint NewClient(int type, nint configuration, byte[] error, nuint errorSize);

    [LibraryImport(Library, EntryPoint = "rd_kafka_destroy")]
    private static partial void DestroyClient(nint client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_new")]
    private static partial nint NewCluster(nint client, int brokerCount);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_destroy")]
    private static partial void DestroyCluster(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_bootstraps")]
    private static partial nint GetBootstraps(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_topic_create", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int CreateTopic(nint cluster, string topic, int partitionCount, int replicationFactor);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_partition_set_leader", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetLeader(nint cluster, string topic, int partition, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_down")]
    private static partial int SetDown(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_up")]
    private static partial int SetUp(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_rtt")]
    private static partial int SetRoundTrip(nint cluster, int broker, int milliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_push_request_errors_array")]
    private static partial void PushErrors(nint cluster, short api, nuint count, int[] errors);

    // Variadic in C: of whole numbers alone, which the calling conventions of Linux pass as they pass others.
    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_push_request_error_rtts")]
    private static partial int PushError(nint cluster, int broker, short api, nuint count, int error, int milliseconds);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_clear_request_errors")]
    private static partial void ClearErrors(nint cluster, short api);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_coordinator_set", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetCoordinator(nint cluster, string kind, string key, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_set_apiversion")]
    private static partial int SetVersions(nint cluster, short api, short lowest, short highest);
}
