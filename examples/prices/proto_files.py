"""Message classes out of .proto files, without a compiler: as much of the language as taskd's files use."""
import os
import re

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

TOKEN = re.compile(r'[A-Za-z_][\w.]*|\d+|"[^"]*"|[{}=;<>,()\[\]]')
Field = descriptor_pb2.FieldDescriptorProto
SCALARS = {
    name: getattr(Field, "TYPE_" + name.upper())
    for name in "double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 bool string bytes".split()
}


class ProtoFiles:
    """`ProtoFiles(folder, 'registry.proto').RegisterRequest` is the class of that message."""

    def __init__(self, folder, *names):
        self._folder = folder
        self._pool = descriptor_pool.DescriptorPool()
        self._packages = {}
        for name in names:
            self._add(name)

    def __getattr__(self, name):
        for package in set(self._packages.values()):
            try:
                found = self._pool.FindMessageTypeByName(f"{package}.{name}")
            except KeyError:
                continue
            return message_factory.GetMessageClass(found)
        raise AttributeError(f"there is no message {name}")

    def _add(self, name):
        if name in self._packages:
            return
        with open(os.path.join(self._folder, name), encoding="utf-8") as file:
            self._tokens = TOKEN.findall(re.sub(r"//.*", "", file.read()))[::-1]
        proto = descriptor_pb2.FileDescriptorProto(name=name, syntax="proto3")
        while self._tokens:
            word = self._next()
            if word == "package":
                proto.package = self._next()
            elif word == "import":
                proto.dependency.append(self._next().strip('"'))
            elif word == "message":
                self._message(proto.message_type.add())
            elif word == "enum":
                self._enum(proto.enum_type.add())
            elif word == "syntax":
                self._rest()
        self._packages[name] = proto.package
        for dependency in proto.dependency:
            self._add(dependency)
        self._pool.Add(proto)

    def _next(self):
        return self._tokens.pop()

    def _rest(self):
        """Up to the end of the statement."""
        while self._next() != ";":
            pass

    def _message(self, message):
        message.name = self._next()
        self._next()  # {
        oneof = None
        while True:
            word = self._next()
            if word == ";":
                continue
            if word == "}":
                if oneof is None:
                    break
                oneof = None
            elif word == "message":
                self._message(message.nested_type.add())
            elif word == "enum":
                self._enum(message.enum_type.add())
            elif word == "reserved":
                self._rest()
            elif word == "oneof":
                message.oneof_decl.add(name=self._next())
                oneof = len(message.oneof_decl) - 1
                self._next()  # {
            else:
                self._field(message, word, oneof)
        # What is said to be optional comes last among the oneofs, each in one of its own.
        for field in message.field:
            if field.proto3_optional:
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")

    def _field(self, message, word, oneof):
        field = message.field.add(label=Field.LABEL_OPTIONAL)
        if word in ("repeated", "optional"):
            field.proto3_optional = word == "optional"
            if word == "repeated":
                field.label = Field.LABEL_REPEATED
            word = self._next()
        kinds = [word]
        if word == "map":
            self._next()  # <
            kinds = [self._next()]
            self._next()  # ,
            kinds.append(self._next())
            self._next()  # >
        field.name = self._next()
        self._next()  # =
        field.number = int(self._next())
        self._rest()
        if oneof is not None:
            field.oneof_index = oneof
        if len(kinds) == 1:
            self._type(field, kinds[0])
            return
        entry = message.nested_type.add(name=field.name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        for number, (name, kind) in enumerate(zip(("key", "value"), kinds), 1):
            self._type(entry.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL), kind)
        field.label = Field.LABEL_REPEATED
        field.type = Field.TYPE_MESSAGE
        field.type_name = entry.name

    @staticmethod
    def _type(field, kind):
        if kind in SCALARS:
            field.type = SCALARS[kind]
        else:
            field.type_name = kind

    def _enum(self, enum):
        enum.name = self._next()
        self._next()  # {
        while (word := self._next()) != "}":
            self._next()  # =
            enum.value.add(name=word, number=int(self._next()))
            self._rest()
