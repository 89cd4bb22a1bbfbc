using Millrace.Cli.Doctor;
using Millrace.Kafka;

namespace Millrace.Cli.Tests.Doctor;

/// <summary>What the doctor reads of the files that it is given.</summary>
public sealed class FilesTests
{
    [Fact]
    public void Properties_are_read_as_Java_reads_them()
    {
        Dictionary<string, string> properties = PropertiesFile.Parse("""
            # a comment
            ! another
            acks=all
              client.id : doctor one
            bootstrap.servers a:1,\
                b:2
            path = C:\\data\tx
            key\=with\:signs=v
            umlaut=\u00e9
            empty=
            last=a=b
            """);
        Assert.Equal("all", properties["acks"]);
        Assert.Equal("doctor one", properties["client.id"]);
        Assert.Equal("a:1,b:2", properties["bootstrap.servers"]);
        Assert.Equal("C:\\data\tx", properties["path"]);
        Assert.Equal("v", properties["key=with:signs"]);
        Assert.Equal("é", properties["umlaut"]);
        Assert.Equal("", properties["empty"]);
        Assert.Equal("a=b", properties["last"]);
        Assert.Equal(8, properties.Count);
    }

    [Theory]
    [InlineData("{\n  \"bootstrap.servers\": \"a:1\"\n}", "line 1")]
    [InlineData("# a comment\nbootstrap.servers=a:1\nsecurity.protocol\n", "line 3")]
    [InlineData("\"bootstrap.servers\": \"a:1\"", "line 1")]
    public void A_clients_file_that_is_none_of_properties_is_refused_by_the_line(string text, string expected)
    {
        FormatException failure = Assert.Throws<FormatException>(() => PropertiesFile.ParseStrictly("client.json", text));
        Assert.StartsWith($"client.json, {expected}: not of the form NAME=VALUE.", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_clients_properties_become_its_options()
    {
        var options = new KafkaClientOptions();
        IReadOnlyList<string> unknown = ClientProperties.Apply(
            new Dictionary<string, string>
            {
                ["bootstrap.servers"] = "a:1", ["client.id"] = "x", ["request.timeout.ms"] = "1500", ["unknown"] = "y", ["security.protocol"] = "PLAINTEXT", ["ssl.truststore.type"] = "PEM",
            },
            options);
        Assert.Equal(["unknown"], unknown);
        Assert.Equal(("a:1", "x", TimeSpan.FromSeconds(1.5)), (options.BootstrapServers, options.ClientId, options.RequestTimeout));
        Assert.Throws<FormatException>(() => ClientProperties.Apply(new Dictionary<string, string> { ["request.timeout.ms"] = "soon" }, options));
    }

    [Fact]
    public void A_clients_security_is_that_of_Javas_properties()
    {
        var options = new KafkaClientOptions();
        ClientProperties.Apply(
            PropertiesFile.Parse("""
                security.protocol=SASL_SSL
                sasl.mechanism=SCRAM-SHA-512
                sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
                  username="alice" password="secret";
                ssl.truststore.type=PEM
                ssl.truststore.location=/etc/ca.pem
                ssl.endpoint.identification.algorithm=
                """),
            options);
        Assert.Equal((SecurityProtocol.SaslSsl, SaslMechanism.ScramSha512), (options.Security.Protocol, options.Security.Mechanism));
        Assert.Equal(("alice", "secret", "/etc/ca.pem"), (options.Security.Username, options.Security.Password, options.Security.TrustedCertificatesFile));
        Assert.False(options.Security.ValidateServerName);
        Assert.Throws<FormatException>(() => ClientProperties.Apply(new Dictionary<string, string> { ["ssl.truststore.type"] = "JKS" }, options));
        Assert.Throws<FormatException>(() => ClientProperties.Apply(new Dictionary<string, string> { ["sasl.mechanism"] = "GSSAPI" }, options));
    }

    [Fact]
    public void Producers_are_found_in_properties_by_what_stands_before_their_settings()
    {
        IReadOnlyList<ProducerConfiguration> one = ProducerFiles.Read("app.properties", "bootstrap.servers=a:1\nrequest.required.acks=1\nenable.idempotence=false\n");
        Assert.Equal("app.properties", Assert.Single(one).Source);
        Assert.Equal([("acks", "1"), ("enable.idempotence", "false")], one[0].Settings.Select(pair => (pair.Key, pair.Value)));

        IReadOnlyList<ProducerConfiguration> two = ProducerFiles.Read("spring.properties", "spring.kafka.producer.acks=0\naudit.producer.acks=all\nspring.kafka.consumer.retries=0\n");
        Assert.Equal(["spring.properties (audit.producer.*)", "spring.properties (spring.kafka.producer.*)"], two.Select(producer => producer.Source));
        Assert.Equal("0", two[1].Settings["acks"]);
        Assert.Single(two[1].Settings);

        ProducerConfiguration spring = Assert.Single(ProducerFiles.Read("spring.properties", "spring.kafka.producer.acks=all\nspring.kafka.producer.properties.enable.idempotence=true\n"));
        Assert.Equal("spring.properties (spring.kafka.producer.*)", spring.Source);
        Assert.Equal(("all", "true"), (spring.Settings["acks"], spring.Settings["enable.idempotence"]));

        Assert.Empty(Assert.Single(ProducerFiles.Read("app.properties", "bootstrap.servers=a:1")).Settings);
    }

    [Fact]
    public void Producers_are_found_anywhere_in_json_by_names_of_Kafka_and_of_NET()
    {
        IReadOnlyList<ProducerConfiguration> producers = ProducerFiles.Read("appsettings.json", """
            {
              // a comment
              "Logging": { "Retries": 0 },
              "Kafka": { "Producer": { "Acks": "Leader", "EnableIdempotence": false, "MaxInFlight": 7 } },
              "Outbox": [ { "acks": "all", "enable.idempotence": "true" } ],
            }
            """);
        Assert.Equal(["appsettings.json (Kafka:Producer)", "appsettings.json (Outbox[0])"], producers.Select(producer => producer.Source));
        Assert.Equal("Leader", producers[0].Settings["acks"]);
        Assert.Equal("False", producers[0].Settings["enable.idempotence"]);
        Assert.Equal("7", producers[0].Settings["max.in.flight.requests.per.connection"]);
        Assert.Throws<FormatException>(() => ProducerFiles.Read("appsettings.json", "{"));
    }
}
