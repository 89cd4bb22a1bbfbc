using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class TopicSettingsTests
{
    private const string File = "/data/topic-settings";
    private static readonly Dictionary<string, string> Compacted = new() { ["segment.ms"] = " 3600000", ["cleanup.policy"] = "compact" };

    [Fact]
    public void A_topic_without_settings_of_its_own_has_the_defaults_of_the_directory()
    {
        LogHarness harness = LogHarness.WithPartition(static options =>
        {
            options.SegmentByteCount = 5000;
            options.TopicDefaults = options.TopicDefaults with { RetentionMilliseconds = TopicLogSettings.NoLimit };
        });
        Assert.Equal(5000, harness.Log.Settings.SegmentByteCount);
        Assert.Equal(TopicLogSettings.NoLimit, harness.Log.Settings.RetentionMilliseconds);
        Assert.Equal(harness.LogDirectory.TopicDefaults, harness.Log.Settings);
        Assert.Empty(harness.LogDirectory.Overrides("orders"));
        Assert.False(harness.Storage.FileExists(File));
    }

    [Fact]
    public void Settings_reach_every_partition_of_the_topic_at_once_and_no_other()
    {
        LogHarness harness = LogHarness.WithPartition();
        PartitionLog second = harness.LogDirectory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        PartitionLog other = harness.LogDirectory.Create(new TopicPartition("payments", 0), LogHarness.OrdersId);
        harness.LogDirectory.SetOverrides("orders", Compacted);
        PartitionLog later = harness.LogDirectory.Create(new TopicPartition("orders", 2), LogHarness.OrdersId);
        Assert.All([harness.Log, second, later], static log => Assert.Equal(CleanupPolicy.Compact, log.Settings.CleanupPolicy));
        Assert.Equal(CleanupPolicy.Delete, other.Settings.CleanupPolicy);
        Assert.Equal(3600000, harness.LogDirectory.SettingsOf("orders").SegmentMilliseconds);

        harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string>());
        Assert.Equal(harness.LogDirectory.TopicDefaults, second.Settings);
    }

    [Fact]
    public void Nothing_of_a_topic_stays_in_memory_when_its_last_partition_and_its_settings_are_gone()
    {
        LogHarness harness = LogHarness.WithPartition();
        LogDirectory directory = harness.LogDirectory;
        PartitionLog second = directory.Create(new TopicPartition("orders", 1), LogHarness.OrdersId);
        directory.SetOverrides("orders", Compacted);
        TopicSettingsCell cell = directory.SettingsCellOf("orders");
        directory.Delete(LogHarness.Orders);
        Assert.Same(cell, directory.SettingsCellOf("orders"));
        directory.Delete(second.TopicPartition);
        TopicSettingsCell afterLast = directory.SettingsCellOf("orders");
        Assert.NotSame(cell, afterLast);
        Assert.Equal(CleanupPolicy.Compact, directory.SettingsOf("orders").CleanupPolicy);

        directory.SetOverrides("orders", new Dictionary<string, string>());
        TopicSettingsCell afterSettings = directory.SettingsCellOf("orders");
        Assert.NotSame(afterLast, afterSettings);
        directory.Create(LogHarness.Orders, LogHarness.OrdersId);
        directory.SetOverrides("orders", Compacted);
        Assert.Equal(CleanupPolicy.Compact, harness.Log.Settings.CleanupPolicy);
        Assert.Same(afterSettings, directory.SettingsCellOf("orders"));
    }

    [Fact]
    public void Settings_are_in_one_file_and_survive_the_power()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("payments", new Dictionary<string, string> { ["cleanup.policy"] = "" });
        harness.LogDirectory.SetOverrides("orders", Compacted);
        Assert.Equal(
            "0\n3\norders cleanup.policy compact\norders segment.ms 3600000\npayments cleanup.policy \ncrc32c f28998a0\n",
            harness.ReadText(File));
        for (int attempt = 0; attempt < 20; attempt++)
        {
            using var view = new LogHarnessView(harness.Storage.Crash(SimulatedCrashKind.PowerLoss), harness.Options);
            Assert.Equal(3600000, view.Log.Settings.SegmentMilliseconds);
            Assert.Equal(CleanupPolicy.None, view.Directory.SettingsOf("payments").CleanupPolicy);
            Assert.Equal(["cleanup.policy", "segment.ms"], view.Directory.Overrides("orders").Keys);
        }
    }

    [Fact]
    public void A_power_loss_in_any_operation_leaves_the_old_settings_or_the_new_ones()
    {
        int newCount = 0;
        for (int operation = 0; operation < 5; operation++)
        {
            LogHarness harness = LogHarness.WithPartition();
            harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { ["retention.ms"] = "1" });
            harness.Storage.CrashAfter(operation);
            Assert.Throws<SimulatedCrashException>(() => harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { ["retention.ms"] = "2" }));
            for (int attempt = 0; attempt < 10; attempt++)
            {
                using var view = new LogHarnessView(harness.Storage.Crash(SimulatedCrashKind.PowerLoss), harness.Options);
                Assert.InRange(view.Log.Settings.RetentionMilliseconds, 1, 2);
                newCount += view.Log.Settings.RetentionMilliseconds == 2 ? 1 : 0;
            }
        }

        Assert.InRange(newCount, 1, 49);
    }

    [Fact]
    public void Wrong_settings_change_nothing()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("orders", Compacted);
        long operations = harness.Storage.OperationCount;
        var wrong = new Dictionary<string, string> { ["cleanup.policy"] = "delete", ["retention.ms"] = "soon" };
        ArgumentException exception = Assert.Throws<ArgumentException>(() => harness.LogDirectory.SetOverrides("orders", wrong));
        Assert.Contains("'soon' is no value of retention.ms. Allowed is a whole number, at least -1.", exception.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => harness.LogDirectory.SetOverrides("a b", Compacted));
        Assert.Equal(CleanupPolicy.Compact, harness.Log.Settings.CleanupPolicy);
        Assert.Equal(operations, harness.Storage.OperationCount);
    }

    [Fact]
    public void A_disk_that_refuses_leaves_the_settings_as_they_were()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.Storage.FailNext(SimulatedOperation.SyncData, ".tmp");
        Assert.Throws<IOException>(() => harness.LogDirectory.SetOverrides("orders", Compacted));
        Assert.Equal(harness.LogDirectory.TopicDefaults, harness.Log.Settings);
        Assert.Empty(harness.LogDirectory.Overrides("orders"));
    }

    [Fact]
    public void Settings_that_the_disk_refused_after_they_had_their_name_are_not_found_by_the_next_start()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("orders", Compacted);
        harness.Storage.FailNext(SimulatedOperation.SyncDirectory, "/data");
        Assert.Throws<IOException>(() => harness.LogDirectory.SetOverrides("orders", new Dictionary<string, string> { ["retention.ms"] = "1000" }));
        Assert.True(harness.LogDirectory.Close());
        harness.Open();
        Assert.Equal(["cleanup.policy", "segment.ms"], harness.LogDirectory.Overrides("orders").Keys);
    }

    [Theory]
    [InlineData("", "does not have the checksum of its content")]
    [InlineData("0\n1\norders retention.ms -1\ncrc32c 00000000\n", "does not have the checksum of its content")]
    [InlineData("1\n0\ncrc32c 00000000\n", "has version '1', and this program reads 0")]
    [InlineData("0\n2\norders retention.ms -1\n", "says that it has 2 settings and has 1", true)]
    [InlineData("0\n1\norders retention.ms\n", "has no topic, setting and value in line 3", true)]
    [InlineData("0\n2\norders retention.ms 1\norders retention.ms 2\n", "has retention.ms of orders twice", true)]
    [InlineData("0\n1\norders retention.ms never\n", "has settings of orders that this program does not take: 'never' is no value of retention.ms", true)]
    [InlineData("0\n1\norders newer.setting 1\n", "has settings of orders that this program does not take: There is no topic setting 'newer.setting'", true)]
    public void A_file_that_cannot_be_read_stops_the_start_and_nothing_is_changed(string content, string fault, bool seals = false)
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.AppendMany(1);
        harness.LogDirectory.Close();
        harness.Kill();
        byte[] body = System.Text.Encoding.UTF8.GetBytes(content);
        harness.WriteText(File, seals ? $"{content}crc32c {Crc32C.Compute(body):x8}\n" : content);
        LogDirectoryException exception = Assert.Throws<LogDirectoryException>(() => harness.Open());
        Assert.Equal(LogDirectoryFailure.Damaged, exception.Failure);
        Assert.Contains($"/data/topic-settings {fault}", exception.Message, StringComparison.Ordinal);
        Assert.Contains("Nothing was changed. Restore the file from a copy", exception.Message, StringComparison.Ordinal);
        Assert.True(harness.Storage.FileExists("/data/.kafka_cleanshutdown"));

        harness.Storage.DeleteFile(File);
        harness.Open();
        Assert.True(harness.LogDirectory.Recovery.WasCleanStop);
        Assert.Equal(new Offset(1), harness.Log.LogEndOffset);
    }

    [Fact]
    public void A_flipped_bit_anywhere_in_the_file_is_noticed()
    {
        LogHarness harness = LogHarness.WithPartition();
        harness.LogDirectory.SetOverrides("orders", Compacted);
        byte[] content = harness.ReadFile(File);
        for (int bit = 0; bit < content.Length * 8; bit++)
        {
            byte[] damaged = [.. content];
            damaged[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.NotNull(TopicSettingsFile.FindFault(System.Text.Encoding.UTF8.GetString(damaged), out _));
        }
    }

    [Fact]
    public async Task Partitions_that_are_made_beside_a_change_of_settings_get_the_last_one()
    {
        LogHarness harness = LogHarness.WithPartition();
        for (int round = 0; round < 200; round++)
        {
            string topic = $"topic-{round}";
            Task<PartitionLog> creation = Task.Run(() => harness.LogDirectory.Create(new TopicPartition(topic, 0), LogHarness.OrdersId));
            harness.LogDirectory.SetOverrides(topic, Compacted);
            Assert.Equal(CleanupPolicy.Compact, (await creation).Settings.CleanupPolicy);
        }
    }
}
